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
from dcfnet.devices.cuda.uploads import HostFrame
from dcfnet.devices.filters import FramePrograms, Rows
from dcfnet.devices.records import HOST, REPEAT, SEARCH, SECOND, UPDATE, Decided, Targets, copied, taken


def decide(
    slots: FilterSlots, programs: FramePrograms, rows: Rows, targets: Targets, frames: Sequence[CudaFrame]
) -> Decided | None:
    """See `Filters.decide`. rows: the slots of the targets."""
    require = _Requirements(programs, frames)
    require(targets, targets["centre"])
    places = frame_places(frames, targets["source"])
    found = slots.decide(rows, places, targets)
    flags = found.outcomes["flags"]
    every = int(np.bitwise_or.reduce(flags))
    if every & REPEAT:
        return None
    if every & SECOND:
        found = found.copy()
        flags = found.outcomes["flags"]
        far = np.flatnonzero(flags & SECOND)
        part, first = taken(targets, far), taken(found.outcomes, far)
        first["flags"] = SEARCH | SECOND
        require(part, np.minimum(np.maximum(first["centre"], 0.0), part["frame_size"] - 1.0))
        second = slots.decide(rows[far], places if len(places) == 1 else taken(places, far), part, first)
        decided = second.outcomes["flags"] & HOST == 0
        flags[far] = HOST  # the host begins with the first pass, and repeats the second
        found.put(far[decided], second.take(decided))
        every = int(np.bitwise_or.reduce(flags))
    if every & UPDATE:
        every_target = bool(int(np.bitwise_and.reduce(flags)) & UPDATE)
        learnt = rows if every_target else np.flatnonzero(flags & UPDATE)
        moved, places = (each if every_target else taken(each, learnt) for each in (found.targets, found.updates))
        require(moved, moved["centre"])
        slots.update(rows if every_target else rows[learnt], places)
    return Decided(copied(found.targets), found.outcomes, every & HOST != 0)


class _Requirements:
    """Copies the pixels that searches and updates read, if a frame is in host memory."""

    def __init__(self, programs: FramePrograms, frames: Sequence[CudaFrame]) -> None:
        self._programs, self._frames = programs, frames
        self._on_host = any(isinstance(frame, HostFrame) for frame in frames)

    def __call__(self, targets: Targets, centres: NDArray[np.float64]) -> None:
        """The pixels around these centres are on the device for work that is queued next."""
        if self._on_host:
            regions = self._programs.largest_regions(targets["size"])
            require_pixels(self._frames, targets["source"], centres, regions)
