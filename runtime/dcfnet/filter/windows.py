"""The Gaussian label, which is the desired response, and the cosine window of the features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian(side: int, sigma: float) -> NDArray[np.float64]:
    """One axis of the label, float64 (side,) in (0, 1]: a Gaussian with its peak at [0] that wraps around.

    sigma: standard deviation, map pixels.
    """
    shift = np.fft.fftfreq(side, 1 / side)  # signed shift of each pixel
    height: NDArray[np.float64] = np.exp(-0.5 * (shift / sigma) ** 2)
    return height


def gaussian_label(height: int, width: int, sigma: float) -> NDArray[np.float32]:
    """The label, float32 (height, width) in (0, 1]: a Gaussian with its peak at [0, 0] that wraps around.

    sigma: standard deviation, map pixels. With the peak at the origin, the position of a response's peak is the shift.
    """
    return np.outer(gaussian(height, sigma), gaussian(width, sigma)).astype(np.float32)


def cosine_window(side: int) -> NDArray[np.float64]:
    """Hann window of one axis, float64 (side,), 0 at both ends. It hides the jump where a map wraps around."""
    return np.hanning(side)
