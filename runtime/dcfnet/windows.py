"""The two fixed shapes of the filter: the label it is asked to answer with, the window its features look through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian(side: int, sigma: float) -> NDArray[np.float64]:
    """One axis of the label, float64 (side,) in (0, 1]: a Gaussian of `sigma` map pixels, peaked at [0], wrapped."""
    shift = np.fft.fftfreq(side, 1 / side)  # signed shift of every pixel
    height: NDArray[np.float64] = np.exp(-0.5 * (shift / sigma) ** 2)
    return height


def gaussian_label(height: int, width: int, sigma: float) -> NDArray[np.float32]:
    """Desired response, float32 (height, width) in (0, 1]: a Gaussian of `sigma` map pixels, peaked at [0, 0].

    The peak sits at the origin and wraps around, so that a response's peak reads directly as a shift.
    """
    return np.outer(gaussian(height, sigma), gaussian(width, sigma)).astype(np.float32)


def cosine_window(side: int) -> NDArray[np.float64]:
    """Hann window of one axis, float64 (side,), zero at both ends: it hides the seam of the circular shift."""
    return np.hanning(side)
