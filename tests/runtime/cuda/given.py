"""Arrays on the device, as a person would give them: of CuPy, or of what stands in for it."""

from __future__ import annotations

from typing import Any

import numpy as np


def on_device(values: np.ndarray) -> Any:
    """The array, copied there."""
    import cupy

    return cupy.asarray(values)


def written_late(whole: np.ndarray) -> tuple[Any, Any]:
    """A frame, and the stream that writes it behind some milliseconds of work. Needs CuPy itself."""
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    ready, frame, busy = on_device(whole), on_device(np.zeros_like(whole)), cupy.ones((4096, 4096), cupy.float32)
    cupy.cuda.Device().synchronize()
    with stream:
        for _ in range(20):
            busy = busy @ busy * 0
        frame[...] = ready
    return frame, stream
