"""The transform of `filter.transform` by fast Fourier transforms: `transform="fft"`.

All frequencies of a map are computed, and those of the label are kept. So filters and boxes are those of the matrices,
apart from the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.dcf import Array
from dcfnet.filter.transform import placed


@dataclass(frozen=True)
class FourierTransform:
    """Maps (..., H + 2M, H + 2M) <-> spectra (..., K, B+1): what `Transform` computes at scale 1.

    side: H. band: B. response_side: R. margin: M, map px, cut off before the transform. window: float32 (H, H), on the
    backend. rfft2, irfft2: transforms of the last two axes, float32 (..., H, H) -> complex64 (..., H, H // 2 + 1) and
    back to (..., G, G), divided by G x G, as NumPy's.
    """

    side: int
    band: int
    response_side: int
    margin: int
    window: Array
    rfft2: Callable[[Array], Array]
    irfft2: Callable[[Array, int], Array]

    def forward(self, maps: Array, into: Array | None = None) -> Array:
        """float32 (..., H + 2M, H + 2M) -> complex64 (..., K, B+1); see `SpectralTransform`."""
        middle = slice(self.margin, self.margin + self.side)
        spectra = self.rfft2(maps[..., middle, middle] * self.window)
        kept: NDArray[Any] = spectra[..., self._rows(), : self.band + 1]
        return placed(kept, into)

    def inverse(self, spectra: Array) -> Array:
        """complex64 (..., K, B+1) -> float32 (..., R, R); [0, 0] is shift zero."""
        grid = grid_side(self.band, self.response_side)
        step = grid // self.response_side
        whole = np.zeros((*spectra.shape[:-2], grid, grid // 2 + 1), np.complex64)
        whole[..., self._rows(), : self.band + 1] = spectra
        maps: NDArray[Any] = self.irfft2(whole, grid)[..., ::step, ::step] * np.float32(grid**2 / self.side**2)
        return maps

    def for_capture(self) -> FourierTransform:
        """The same transform with working memory of its own, for one captured program."""
        return self

    def _rows(self) -> NDArray[np.intp]:
        """The rows of a spectrum with the vertical frequencies -B..B."""
        return np.arange(-self.band, self.band + 1)


def grid_side(band: int, response_side: int) -> int:
    """Side G of the inverse: the smallest multiple of R with all frequencies. Each (G / R)th number is wanted."""
    return response_side * -(-(2 * band + 1) // response_side)


def window_of_both_axes(window: NDArray[np.float64]) -> NDArray[np.float32]:
    """The window (H,) of one axis, applied along both: float32 (H, H)."""
    return np.outer(window, window).astype(np.float32)
