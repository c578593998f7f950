"""One correlation filter per level of a deep network, and the loss of their joint response.

Each level has the closed form of eq. 2 and a label with its own width. All steps use only the frequencies of the label,
as `dcfnet.filter.transform` does. No inverse transform is needed: by Parseval's theorem the squared error of a map
equals the squared error of its spectrum, up to a constant factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from dcfnet.filter import dcf
from dcfnet.filter.transform import band_of_label, label_spectrum
from dcfnet.filter.windows import cosine_window
from dcfnet.model.file import FeatureLevel
from torch import Tensor, nn

LEVEL_FILTERS: dict[str, tuple[FeatureLevel, ...]] = {
    "deep": (
        FeatureLevel(32, 0.1, 1.0),
        FeatureLevel(32, 0.15, 1.0),
    ),  # the fine level gives the position, the coarse level recognises the target
}


class Spectrum(nn.Module):
    """Maps (..., H, H) -> spectra of the windowed maps, complex64 (..., K, B+1), K = 2B+1.

    This is `Transform.forward` for torch.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, side: int, band: int) -> None:
        super().__init__()
        window, pixels = cosine_window(side), np.arange(side) / side
        rows = np.exp(-2j * np.pi * np.arange(-band, band + 1)[:, None] * pixels) * window
        columns = np.exp(-2j * np.pi * pixels[:, None] * np.arange(band + 1)) * window[:, None]
        self.register_buffer("rows", torch.from_numpy(rows.astype(np.complex64)), persistent=False)
        self.register_buffer("columns", torch.from_numpy(columns.astype(np.complex64)), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        real, imaginary = maps @ self.columns.real, maps @ self.columns.imag
        spectrum: Tensor = self.rows @ torch.complex(real, imaginary)
        return spectrum


class LevelsLoss(nn.Module):
    """Mean of two errors: of the joint response, and of the responses of single levels (weighted mean).

    Each error is divided by the energy of its label.
    regularisation: lambda of eq. 2, as a share of the mean energy of the template's spectrum.
    """

    labels: Tensor
    twice: Tensor

    def __init__(
        self, levels: Sequence[FeatureLevel], patch_size: int, stride: int, target_side: float, regularisation: float
    ) -> None:
        """target_side: side of the target in the patch, px."""
        super().__init__()
        self.levels, self.patch_size, self.regularisation = tuple(levels), patch_size, regularisation
        side = patch_size // stride
        sigmas = [level.label_sigma * target_side / stride for level in levels]
        self.band = band_of_label(side, min(sigmas), 4.0)
        self.spectrum = Spectrum(side, self.band)
        labels = torch.stack([torch.from_numpy(label_spectrum(side, sigma, self.band)) for sigma in sigmas])
        self.register_buffer("labels", labels, persistent=False)  # (L, K, B+1)
        counts = torch.full((self.band + 1,), 2.0)  # each column also represents its conjugate; column 0 has none
        counts[0] = 1.0
        self.register_buffer("twice", counts, persistent=False)

    def forward(self, network: nn.Module, pairs: Tensor, shifts: Tensor) -> Tensor:
        """The mean loss over the pairs. pairs: float32 (B, 2, 3, S, S). shifts: float32 (B, 2), (x, y) patch px."""
        count = len(pairs)
        features = network(pairs.transpose(0, 1).flatten(0, 1)).float()
        moved = self._moved(shifts)  # (B, K, B+1)
        total, own = torch.zeros((), dtype=torch.complex64), torch.zeros(())
        joint_label = torch.zeros_like(self.labels[0])
        shares = [level.weight / sum(other.weight for other in self.levels) for level in self.levels]
        channels = [level.channels for level in self.levels]
        for part, label, share in zip(features.split(channels, dim=1), self.labels, shares, strict=True):
            error = self._answer(self.spectrum(part), count, label) - label * moved
            total, joint_label = total + share * error, joint_label + share * label
            own = own + share * self._energy(error) / self._energy(label)
        loss: Tensor = (0.5 * self._energy(total) / self._energy(joint_label) + 0.5 * own).mean()
        return loss

    def _answer(self, spectra: Tensor, count: int, label: Tensor) -> Tensor:
        """Spectra of the responses to the search patches, complex64 (B, K, B+1).

        The first `count` spectra are those of the template patches; the filters are learnt from them.
        """
        numerator, denominator = dcf.learn(spectra[:count], label)
        regularisation = self.regularisation * denominator.mean(dim=(-2, -1), keepdim=True)
        answer: Tensor = dcf.respond(spectra[count:], dcf.solve(numerator, denominator + regularisation, 0.0))[:, 0]
        return answer

    def _moved(self, shifts: Tensor) -> Tensor:
        """Phase factors that move a label by the shifts, complex64 (B, K, B+1)."""
        angle = -2 * math.pi / self.patch_size * shifts
        down = torch.arange(-self.band, self.band + 1)[:, None] * angle[:, 1, None, None]
        phase = down + torch.arange(self.band + 1) * angle[:, 0, None, None]
        return torch.polar(torch.ones_like(phase), phase)

    def _energy(self, spectra: Tensor) -> Tensor:
        """Energy of the maps that have these spectra, (..., K, B+1) -> (...)."""
        return (spectra.abs().square() * self.twice).sum(dim=(-2, -1))
