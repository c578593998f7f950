"""One correlation filter per level of a deep network, and the loss of their joint response.

Each level has the closed form of eq. 2 and a label with its own width. All steps use only the frequencies of the label,
as `dcfnet.filter.transform` does. No inverse transform is needed: by Parseval's theorem the squared error of a map
equals the squared error of its spectrum, up to a constant factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from dcfnet.filter import dcf
from dcfnet.filter.transform import Transform, band_of_label, label_spectrum
from dcfnet.filter.windows import cosine_window
from dcfnet.model.file import FeatureLevel
from torch import Tensor, nn

LEVEL_FILTERS: dict[str, tuple[FeatureLevel, ...]] = {
    "deep": (
        FeatureLevel(32, 0.1, 1.0),
        FeatureLevel(32, 0.15, 1.0),
    ),  # the fine level gives the position, the coarse level recognises the target
}


SCALES = (1 / 1.06, 1 / 1.03, 1.03, 1.06)  # scales of the search whose response is part of the loss
SCALE_DEVIATION = 0.05  # of the wanted peak over the logarithm of the scale: 0.84 at 1.03, 0.51 at 1.06


class Spectrum(nn.Module):
    """Maps (..., H, H) -> spectra of the windowed maps, complex64 (..., K, B+1), K = 2B+1.

    This is `Transform.forward` for torch. scale: see `Transform`.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, side: int, band: int, scale: float = 1.0) -> None:
        super().__init__()
        window = cosine_window(side)
        built = Transform.build(side, band, side, window, np.ascontiguousarray, scale=scale)
        self.register_buffer("rows", torch.from_numpy(built.rows), persistent=False)
        self.register_buffer("columns", torch.from_numpy(built.columns.view(np.complex64)), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        real, imaginary = maps @ self.columns.real, maps @ self.columns.imag
        spectrum: Tensor = self.rows @ torch.complex(real, imaginary)
        return spectrum


class LevelsLoss(nn.Module):
    """Mean of two errors: of the joint response, and of the responses of single levels (weighted mean).

    Each error is divided by the energy of its label. To it comes `scale_weight` times the mean error of the joint
    response at SCALES, where the wanted peak is lower: so the tracker finds the right scale.
    regularisation: lambda of eq. 2, as a share of the mean energy of the template's spectrum.
    """

    labels: Tensor
    twice: Tensor

    def __init__(
        self,
        levels: Sequence[FeatureLevel],
        patch_size: int,
        stride: int,
        target_side: float,
        regularisation: float,
        scale_weight: float = 0.0,
    ) -> None:
        """target_side: side of the target in the patch, px."""
        super().__init__()
        self.levels, self.patch_size, self.regularisation = tuple(levels), patch_size, regularisation
        self.scale_weight = scale_weight
        side = patch_size // stride
        sigmas = [level.label_sigma * target_side / stride for level in levels]
        self.band = band_of_label(side, min(sigmas), 4.0)
        self.spectrum = Spectrum(side, self.band)
        self.scaled = nn.ModuleList(Spectrum(side, self.band, scale) for scale in SCALES if scale_weight)
        labels = torch.stack([torch.from_numpy(label_spectrum(side, sigma, self.band)) for sigma in sigmas])
        self.register_buffer("labels", labels, persistent=False)  # (L, K, B+1)
        counts = torch.full((self.band + 1,), 2.0)  # each column also represents its conjugate; column 0 has none
        counts[0] = 1.0
        self.register_buffer("twice", counts, persistent=False)

    def forward(self, network: nn.Module, pairs: Tensor, shifts: Tensor) -> Tensor:
        """The mean loss over the pairs. pairs: float32 (B, 2, 3, S, S). shifts: float32 (B, 2), (x, y) patch px."""
        count = len(pairs)
        features = network(pairs.transpose(0, 1).flatten(0, 1)).float()
        shares = [level.weight / sum(other.weight for other in self.levels) for level in self.levels]
        parts = features.split([level.channels for level in self.levels], dim=1)
        filters = [self._filter(part[:count], label) for part, label in zip(parts, self.labels, strict=True)]
        joint_label = sum(share * label for share, label in zip(shares, self.labels, strict=True))
        searched = [part[count:] for part in parts]

        def errors(spectrum: nn.Module, shifts: Tensor, height: float) -> list[Tensor]:
            """Errors of each level times its share, complex64 (B, K, B+1). height: of the wanted peak."""
            wanted = height * self._moved(shifts)
            levels = zip(searched, filters, self.labels, shares, strict=True)
            return [share * (_response(spectrum(part), of) - label * wanted) for part, of, label, share in levels]

        unscaled = errors(self.spectrum, shifts, 1.0)
        joint = self._energy(sum(unscaled)) / self._energy(joint_label)
        each = zip(unscaled, self.labels, shares, strict=True)
        own = sum(self._energy(error) / self._energy(label) / share for error, label, share in each if share)
        loss: Tensor = (0.5 * joint + 0.5 * own).mean()
        for spectrum, scale in zip(self.scaled, SCALES, strict=False):
            height = math.exp(-0.5 * (math.log(scale) / SCALE_DEVIATION) ** 2)
            error = self._energy(sum(errors(spectrum, shifts / scale, height))) / self._energy(joint_label)
            loss = loss + self.scale_weight / len(SCALES) * error.mean()
        return loss

    def _filter(self, templates: Tensor, label: Tensor) -> Tensor:
        """The filters of eq. 2 for template maps (B, C, H, H), complex64 (B, C, K, B+1)."""
        numerator, denominator = dcf.learn(self.spectrum(templates), label)
        regularisation = self.regularisation * denominator.mean(dim=(-2, -1), keepdim=True)
        solved: Tensor = dcf.solve(numerator, denominator + regularisation, 0.0)
        return solved

    def _moved(self, shifts: Tensor) -> Tensor:
        """Phase factors that move a label by the shifts, complex64 (B, K, B+1)."""
        angle = -2 * math.pi / self.patch_size * shifts
        down = torch.arange(-self.band, self.band + 1)[:, None] * angle[:, 1, None, None]
        phase = down + torch.arange(self.band + 1) * angle[:, 0, None, None]
        return torch.polar(torch.ones_like(phase), phase)

    def _energy(self, spectra: Any) -> Tensor:
        """Energy of the maps that have these spectra, (..., K, B+1) -> (...)."""
        energy: Tensor = (spectra.abs().square() * self.twice).sum(dim=(-2, -1))
        return energy


def _response(search_f: Tensor, filter_f: Tensor) -> Tensor:
    """Spectra of the responses to search spectra (B, C, K, B+1), complex64 (B, K, B+1)."""
    response: Tensor = dcf.respond(search_f, filter_f)[:, 0]
    return response
