"""The record of a target between two frames. The host and the kernels of a device use the same layout."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_PAIRS = ("centre", "size", "initial_size", "frame_size", "size_limits", "confident_centre", "confident_size")
_COUNTS = ("source", "updates", "frames_since_confident", "occluded_frames", "skipped")

# `TrackState` has the meaning of each field. Kernels get this layout as the structure `Target`.
TARGET = np.dtype(
    [
        *((name, "f8", (2,)) for name in _PAIRS),
        ("typical", "f8", (3,)),
        *((name, "f8") for name in ("level", "light")),
        *((name, "i8") for name in _COUNTS),
    ],
    align=True,
)
Targets: TypeAlias = NDArray[np.void]  # TARGET (N,)
