"""A frame whose places and decisions are computed on the device.

The host starts *detect*, waits for it, starts a second search pass for the targets that moved far, and queues *update*.
It computes no geometry, except which pixels of a host frame must be copied. *Detect* reads frames in pinned memory in
place if there are few targets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.filter_slots import FilterSlots, KnownRegions
from dcfnet.devices.cuda.frame import ADDRESSES, CudaFrame
from dcfnet.devices.cuda.sampling import Structures, frame_places, places_in_place, require_pixels
from dcfnet.devices.cuda.slot_programs import Found
from dcfnet.devices.cuda.uploads import HostFrame
from dcfnet.devices.filters import FramePrograms, Rows
from dcfnet.devices.records import (
    HOST,
    REPEAT,
    SEARCH,
    SECOND,
    UPDATE,
    VIEW,
    Decided,
    Targets,
    copied,
    flags_of,
    taken,
)


def decide(
    slots: FilterSlots, programs: FramePrograms, rows: Rows, targets: Targets, frames: Mapping[int, CudaFrame]
) -> Decided | None:
    """See `Filters.decide`. rows: the slots of the targets."""
    on_host, sources = HostFrame in map(type, frames.values()), targets["source"]
    in_place = _in_place(programs, frames, sources) if on_host else None
    copies = on_host and in_place is None
    if copies:
        known = slots.known_regions
        regions = known.regions if known.targets is targets else programs.largest_regions(targets["size"])
        require_pixels(frames, sources, targets["centre"], regions)
    places = in_place if in_place is not None else frame_places(frames, sources)
    search = SEARCH if copies else SEARCH | VIEW
    found = slots.decide(rows, places, targets, flags=search)
    flags, (kinds, every) = found.outcomes["flags"], flags_of(found.outcomes)
    if every & REPEAT:
        return None
    if every & SECOND:
        found = found.copy()
        flags = found.outcomes["flags"]
        far = np.flatnonzero(flags & SECOND)
        part, first = taken(targets, far), taken(found.outcomes, far)
        first["flags"] = search | SECOND
        if copies:
            centres = np.minimum(np.maximum(first["centre"], 0.0), part["frame_size"] - 1.0)
            require_pixels(frames, sources[far], centres, regions[far])
        second = slots.decide(rows[far], places if len(places) == 1 else taken(places, far), part, first)
        decided = second.outcomes["flags"] & HOST == 0
        flags[far] = HOST  # the host begins with the first pass, and repeats the second
        found.put(far[decided], second.take(decided))
        kinds, every = flags_of(found.outcomes)
    if every & UPDATE:
        every_target = kinds == {UPDATE}
        learnt = rows if every_target else np.flatnonzero(flags & UPDATE)
        learning = found if every_target else found.take(learnt)
        if on_host:
            require_pixels(frames, learning.targets["source"], learning.targets["centre"], learning.outcomes["reach"])
        updates = learning.updates if in_place is None else _at_copies(learning, frames)
        slots.update(rows if every_target else rows[learnt], updates)
    after = copied(found.targets)
    if copies:
        slots.known_regions = KnownRegions(after, found.outcomes["reach"].copy())
    return Decided(after, found.outcomes, every & HOST != 0, not copies)


def _in_place(programs: FramePrograms, frames: Mapping[int, CudaFrame], sources: NDArray[np.intp]) -> Structures | None:
    """See `places_in_place`."""
    each = programs.patches_per_target * float(programs.rules["patch_size"][0]) ** 2
    return places_in_place(frames, sources, len(sources) * each)


def _at_copies(learning: Found, frames: Mapping[int, CudaFrame]) -> Structures:
    """The places of template patches in the copied pixels. The host does not wait for an update of the filter."""
    updates, places = copied(learning.updates), frame_places(frames, learning.targets["source"])
    for name in ADDRESSES:
        updates[name] = places[name]
    return updates
