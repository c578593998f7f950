"""The transform between feature maps and spectra, for the frequencies of the label only.

The label is a Gaussian, so its spectrum is a Gaussian too. A few standard deviations from its middle, every numerator
is almost 0 for any features. So only the frequencies |k| <= band are computed, by two matrix products with cosines and
sines. These products cost less than a fast transform of all frequencies, work for any map size, and include the cosine
window at no cost. Solving, blending and storing a filter then needs a tenth of the numbers. As in dcf.py, only
operators are used, and the matrix product of the backend.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.dcf import Array
from dcfnet.filter.windows import gaussian

AsArray = Callable[[NDArray[np.generic]], Array]  # Backend.asarray
MatMul = Callable[[Array, Array], Array]  # Backend.matmul


class SpectralTransform(Protocol):
    """Maps <-> spectra, in the frequencies and with the factors of `Transform`.

    The setting `transform` selects `Transform` ("matrices") or `FourierTransform` ("fft").
    """

    def forward(self, maps: Array, into: Array | None = None) -> Array:
        """float32 (..., H, H) -> complex64 (..., K, B+1). into: contiguous memory for the result; None: new memory."""

    def inverse(self, spectra: Array) -> Array:
        """complex64 (..., K, B+1) -> float32 (..., R, R); [0, 0] is shift zero."""

    def for_capture(self) -> SpectralTransform:
        """The same transform with working memory of its own, for one captured program."""


@dataclass(frozen=True)
class Transform:
    """Maps (..., H, H) <-> spectra (..., K, B+1), K = 2B+1: vertical frequencies -B..B, horizontal frequencies 0..B.

    Forward: equal to `rfft2` of the windowed maps at these frequencies, unnormalised. The inverse divides by H x H.
    rows: complex64 (K, H). columns: float32 (H, 2(B+1)), real and imaginary parts interleaved, so that the product with
    real maps is real. Both include the window of their axis. rows_back: complex64 (R, K). columns_back: float32
    (2(B+1), R). They give a response map of R x R over the same patch.
    With a margin of M px, the maps are (..., H + 2M, H + 2M), and the spectra are those of the middle. With a scale,
    they are those of the middle, `scale` times as large: one map gives the spectra of all scales.
    """

    rows: Array
    columns: Array
    rows_back: Array
    columns_back: Array
    matmul: MatMul

    @classmethod
    def build(
        cls,
        side: int,
        band: int,
        response_side: int,
        window: NDArray[np.float64],
        asarray: AsArray,
        matmul: MatMul = operator.matmul,
        margin: int = 0,
        scale: float = 1.0,
    ) -> Transform:
        """side: H, px. window: (H,), applied along both axes. response_side: R, px. Requires 2 band + 1 <= side.

        margin: M, map px; a scale above 1 needs one.
        """
        down, across = np.arange(-band, band + 1), np.arange(band + 1)
        middle = (side - 1) / 2
        # Where the pixels of the map are in a map of H px, if the middle, `scale` times as large, is shrunk to it.
        places = (np.arange(-margin, side + margin) - middle) / scale + middle
        weights = np.interp(places, np.arange(side), window, 0.0, 0.0) / scale  # the sum over pixels is an integral
        pixels = places / side
        grid = np.arange(response_side) / response_side
        rows = np.exp(-2j * np.pi * down[:, None] * pixels) * weights
        columns = np.exp(-2j * np.pi * pixels[:, None] * across) * weights[:, None]
        rows_back = np.exp(2j * np.pi * grid[:, None] * down) / side**2
        # The other half of a real map's spectrum is mirrored, so each column except the first counts twice.
        twice = np.where(across == 0, 1, 2)[:, None]
        columns_back = np.conj(np.exp(2j * np.pi * across[:, None] * grid)) * twice
        return cls(
            asarray(rows.astype(np.complex64)),
            asarray(_interleaved(columns)),
            asarray(rows_back.astype(np.complex64)),
            asarray(np.ascontiguousarray(_interleaved(columns_back.T).T)),
            matmul,
        )

    def forward(self, maps: Array, into: Array | None = None) -> Array:
        """See `SpectralTransform`."""
        return placed(self.matmul(self.rows, self.matmul(maps, self.columns).view(np.complex64)), into)

    def inverse(self, spectra: Array) -> Array:
        """complex64 (..., K, B+1) -> float32 (..., R, R); [0, 0] is shift zero."""
        return self.matmul(self.matmul(self.rows_back, spectra).view(np.float32), self.columns_back)

    def for_capture(self) -> Transform:
        """See `SpectralTransform`: the transform itself, which has no working memory."""
        return self


def placed(values: Array, into: Array | None) -> Array:
    """The values, copied to `into` if that is given."""
    if into is None:
        return values
    into[...] = values
    return into


def _interleaved(matrix: NDArray[np.complex128]) -> NDArray[np.float32]:
    """complex (n, m) -> float32 (n, 2m), real and imaginary parts interleaved."""
    return np.ascontiguousarray(matrix.astype(np.complex64)).view(np.float32)


def band_of_label(side: int, sigma: float, deviations: float) -> int:
    """The highest frequency to keep: `deviations` standard deviations of the label's spectrum, rounded up.

    side: px of the map. sigma: standard deviation of the label, map px. The result is at most (side - 1) // 2.
    """
    return min(math.ceil(deviations * side / (2 * np.pi * sigma)), (side - 1) // 2)


def label_spectrum(side: int, sigma: float, band: int) -> NDArray[np.float32]:
    """Spectrum of the Gaussian label without a window, float32 (K, B+1), at the frequencies of `Transform`.

    It is real because the label is even. It is the product of the spectra of both axes, so small values are exact.
    """
    axis = np.fft.fft(gaussian(side, sigma)).real
    return np.outer(axis[np.arange(-band, band + 1)], axis[: band + 1]).astype(np.float32)
