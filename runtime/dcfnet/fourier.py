"""The transform between feature maps and the spectra that the filter lives in: of the label's frequencies alone.

The filter's answer is never richer than its label, a Gaussian of some pixels, whose spectrum is a Gaussian too: beyond
a few of its standard deviations every numerator is nothing, whatever the features hold. So only the frequencies
|k| <= band are taken, by two products with matrices of cosines and sines, which are cheaper than a fast transform that
makes them all, need no lucky length, and hold the cosine window at no cost. What remains is a tenth of the numbers to
solve for, to blend and to keep per target. Operators only, as in dcf.py, and the backend's product of matrices.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.windows import gaussian

Place = Callable[[NDArray[np.generic]], Array]  # Backend.asarray
Product = Callable[[Array, Array], Array]  # Backend.product


@dataclass(frozen=True)
class Transform:
    """Windowed maps (..., H, H) <-> spectra (..., K, B+1) of the frequencies -B..B down and 0..B across, K = 2B+1.

    Equal to `rfft2` of the windowed maps at these frequencies, unnormalised; the inverse divides by H x H.
    rows complex64 (K, H) and columns float32 (H, 2(B+1)) go forward, the window of each axis within; columns hold
    the real and imaginary parts side by side, so that no complex product is spent on real maps.
    rows_back complex64 (R, K) and columns_back float32 (2(B+1), R) lead to a response of R x R over the same patch.
    """

    rows: Array
    columns: Array
    rows_back: Array
    columns_back: Array
    product: Product

    @classmethod
    def build(
        cls,
        side: int,
        band: int,
        response_side: int,
        window: NDArray[np.float64],
        place: Place,
        product: Product = operator.matmul,
    ) -> Transform:
        """Transform of maps `side` px wide, windowed along both axes by `window` (side,); 2 band + 1 <= side."""
        down, across = np.arange(-band, band + 1), np.arange(band + 1)
        pixels = np.arange(side) / side
        grid = np.arange(response_side) / response_side
        rows = np.exp(-2j * np.pi * down[:, None] * pixels) * window
        columns = np.exp(-2j * np.pi * pixels[:, None] * across) * window[:, None]
        rows_back = np.exp(2j * np.pi * grid[:, None] * down) / side**2
        # A real map has its other half of the spectrum mirrored: every column but the first counts twice.
        twice = np.where(across == 0, 1, 2)[:, None]
        columns_back = np.conj(np.exp(2j * np.pi * across[:, None] * grid)) * twice
        return cls(
            place(rows.astype(np.complex64)),
            place(_interleaved(columns)),
            place(rows_back.astype(np.complex64)),
            place(np.ascontiguousarray(_interleaved(columns_back.T).T)),
            product,
        )

    def forward(self, maps: Array) -> Array:
        """Real float32 (..., H, H) -> complex64 (..., K, B+1)."""
        return self.product(self.rows, self.product(maps, self.columns).view(np.complex64))

    def inverse(self, spectra: Array) -> Array:
        """Complex64 (..., K, B+1) -> float32 (..., R, R); [0, 0] is shift zero."""
        return self.product(self.product(self.rows_back, spectra).view(np.float32), self.columns_back)


def _interleaved(matrix: NDArray[np.complex128]) -> NDArray[np.float32]:
    """Complex (n, m) -> float32 (n, 2m), real and imaginary parts side by side."""
    return np.ascontiguousarray(matrix.astype(np.complex64)).view(np.float32)


def band_of_label(side: int, sigma: float, deviations: float) -> int:
    """Frequencies that a label of `sigma` px on a map of `side` has: `deviations` of its spectrum's std, rounded up."""
    return min(math.ceil(deviations * side / (2 * np.pi * sigma)), (side - 1) // 2)


def label_spectrum(side: int, sigma: float, band: int) -> NDArray[np.float32]:
    """Spectrum of the Gaussian label, float32 (K, B+1), at the frequencies of `Transform`; no window upon it.

    Real, since the label is even, and the product of its two axes', so that it is exact where it is small.
    """
    axis = np.fft.fft(gaussian(side, sigma)).real
    return np.outer(axis[np.arange(-band, band + 1)], axis[: band + 1]).astype(np.float32)
