"""Device arrays as a caller creates them, with CuPy or with its stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np


def on_device(values: np.ndarray) -> Any:
    """A copy of the array on the device."""
    import cupy

    return cupy.asarray(values)


def written_late(whole: np.ndarray) -> tuple[Any, Any]:
    """A frame, and the stream that writes it after some milliseconds of other work. Needs CuPy itself."""
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    source, frame, matrix = on_device(whole), on_device(np.zeros_like(whole)), cupy.ones((4096, 4096), cupy.float32)
    cupy.cuda.Device().synchronize()
    with stream:
        for _ in range(20):
            matrix = matrix @ matrix * 0
        frame[...] = source
    return frame, stream
