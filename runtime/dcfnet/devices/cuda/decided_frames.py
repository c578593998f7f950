"""A frame whose places and decisions are computed on the device.

The host starts *detect*, waits for it, starts a second search pass for the targets that moved far, and queues *update*.
It computes no geometry, except which pixels of a host frame must be copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dcfnet.devices.cuda.filter_slots import FilterSlots, KnownRegions
from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.devices.cuda.sampling import frame_places, require_pixels
from dcfnet.devices.cuda.uploads import HostFrame
from dcfnet.devices.filters import FramePrograms, Rows
from dcfnet.devices.records import HOST, REPEAT, SEARCH, SECOND, UPDATE, Decided, Targets, all_flags, copied, taken


def decide(
    slots: FilterSlots, programs: FramePrograms, rows: Rows, targets: Targets, frames: Sequence[CudaFrame]
) -> Decided | None:
    """See `Filters.decide`. rows: the slots of the targets."""
    on_host, sources = any(isinstance(frame, HostFrame) for frame in frames), targets["source"]
    if on_host:
        known = slots.known_regions
        regions = known.regions if known.targets is targets else programs.largest_regions(targets["size"])
        require_pixels(frames, sources, targets["centre"], regions)
    places = frame_places(frames, sources)
    found = slots.decide(rows, places, targets)
    flags = found.outcomes["flags"]
    every = all_flags(found.outcomes)
    if every & REPEAT:
        return None
    if every & SECOND:
        found = found.copy()
        flags = found.outcomes["flags"]
        far = np.flatnonzero(flags & SECOND)
        part, first = taken(targets, far), taken(found.outcomes, far)
        first["flags"] = SEARCH | SECOND
        if on_host:
            centres = np.minimum(np.maximum(first["centre"], 0.0), part["frame_size"] - 1.0)
            require_pixels(frames, sources[far], centres, regions[far])
        second = slots.decide(rows[far], places if len(places) == 1 else taken(places, far), part, first)
        decided = second.outcomes["flags"] & HOST == 0
        flags[far] = HOST  # the host begins with the first pass, and repeats the second
        found.put(far[decided], second.take(decided))
        every = all_flags(found.outcomes)
    if every & UPDATE:
        every_target = bool((flags & UPDATE).all())
        learnt = rows if every_target else np.flatnonzero(flags & UPDATE)
        learning = found if every_target else found.take(learnt)
        if on_host:
            require_pixels(frames, learning.targets["source"], learning.targets["centre"], learning.outcomes["reach"])
        slots.update(rows if every_target else rows[learnt], learning.updates)
    after = copied(found.targets)
    if on_host:
        slots.known_regions = KnownRegions(after, found.outcomes["reach"].copy())
    return Decided(after, found.outcomes, every & HOST != 0)
