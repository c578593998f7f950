"""A frame whose places and decisions are computed on the device.

The host starts *detect*, waits for it, starts a second search pass for the targets that moved far, and queues *update*.
It computes no geometry, except which pixels of a host frame must be copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.filter_slots import FilterSlots
from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.devices.cuda.sampling import frame_places, require_pixels
from dcfnet.devices.filters import FramePrograms, Rows
from dcfnet.devices.records import HOST, OUTCOME, REPEAT, SEARCH, SECOND, UPDATE, Decided, Targets


def decide(
    slots: FilterSlots, programs: FramePrograms, rows: Rows, targets: Targets, frames: Sequence[CudaFrame]
) -> Decided | None:
    """See `Filters.decide`. rows: the slots of the targets."""
    require = _Requirements(programs, frames)
    require(targets, targets["centre"])
    places, before = frame_places(frames, targets["source"]), np.zeros(len(targets), OUTCOME)
    before["flags"] = SEARCH
    after, outcomes, updates = slots.decide(rows, places, targets, before)
    flags = outcomes["flags"]
    if (flags & REPEAT).any():
        return None
    far = np.flatnonzero(flags & SECOND)
    if len(far):
        part, first = targets[far], outcomes[far]
        first["flags"] = SEARCH | SECOND
        require(part, np.minimum(np.maximum(first["centre"], 0.0), part["frame_size"] - 1.0))
        second = slots.decide(rows[far], places[far], part, first)
        decided = second[1]["flags"] & HOST == 0
        outcomes["flags"][far] = HOST  # the host begins with the first pass, and repeats the second
        for values, found in zip((after, outcomes, updates), second, strict=True):
            values[far[decided]] = found[decided]
    learnt = np.flatnonzero(flags & UPDATE)
    if len(learnt):
        moved = after[learnt]
        require(moved, moved["centre"])
        slots.update(rows[learnt], updates[learnt])
    return Decided(after, outcomes)


class _Requirements:
    """Copies the pixels that searches and updates read, if a frame is in host memory."""

    def __init__(self, programs: FramePrograms, frames: Sequence[CudaFrame]) -> None:
        self._programs, self._frames = programs, frames
        self._on_host = any(frame.texture_plane is not None for frame in frames)

    def __call__(self, targets: Targets, centres: NDArray[np.float64]) -> None:
        """The pixels around these centres are on the device for work that is queued next."""
        if self._on_host:
            regions = self._programs.largest_regions(targets["size"])
            require_pixels(self._frames, targets["source"], centres, regions)
