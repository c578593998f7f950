"""Selects the transform of a pipeline: the setting `transform`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Backend
from dcfnet.filter.transform import SpectralTransform


def transform_of_scale(
    name: str, backend: Backend, sizes: tuple[int, int, int], window: NDArray[np.float64], margin: int, scale: float
) -> SpectralTransform:
    """The transform of one scale. name: "matrices" or "fft". sizes: side, band and response side, px of a map.

    Other arguments as for `Transform.build`. A fast transform has no scale: with a margin, one map gives all scales,
    and matrices read all of them except scale 1.
    """
    if name == "fft" and scale == 1:
        return backend.fourier_transform(*sizes, window, margin)
    return backend.matrix_transform(*sizes, window, margin, scale)
