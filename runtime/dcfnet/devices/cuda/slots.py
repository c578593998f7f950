"""Ownership of slots: the pool with its free list, allocations, and filters that refer to slots.

`SlotPool` owns all slots of one pipeline. `Allocation` is the right to use some of them: it ends with `release`, or at
the latest when nothing refers to it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcfnet.devices.cuda import decided_frames
from dcfnet.devices.cuda.filter_slots import FilterSlots
from dcfnet.devices.cuda.kernels.peaks import PeakReader
from dcfnet.devices.cuda.sampling import Structures
from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms, PendingPeaks, Rows
from dcfnet.devices.records import Decided, Targets


class SlotPool:
    """The owner of all slots of one pipeline. Released slots keep their captured programs for the next user."""

    def __init__(self, device: Any, reader: PeakReader, programs: FramePrograms) -> None:
        self.programs, self.free = programs, list[FilterSlots]()
        self._device, self._reader, self._closed = device, reader, False

    def stored(self, filters: ArrayFilters, capacity: int | None = None) -> SlotFilters:
        """A copy of the filters in slots of their own."""
        allocation, rows = self.allocate(filters, slots_for(len(filters), capacity)), np.arange(len(filters))
        allocation.slots.write(rows, filters)
        return SlotFilters(allocation, rows)

    def allocate(self, like: ArrayFilters, capacity: int) -> Allocation:
        """`capacity` slots, from the free list if possible. like: filters of the same shapes."""
        slots = next((slots for slots in self.free if slots.capacity == capacity), None)
        if slots is None:
            slots = FilterSlots(self._device, self._reader, self.programs, like, capacity)
        else:
            self.free.remove(slots)
        return Allocation(self, slots)

    def take_back(self, slots: FilterSlots) -> None:
        """Puts slots on the free list, or frees them if nobody needs them again."""
        if slots.outgrown or self._closed:
            slots.close()
        else:
            self.free.append(slots)

    def close(self) -> None:
        """Frees the slots on the free list now, and slots in use when they are released."""
        self._closed = True
        while self.free:
            self.free.pop().close()


class Allocation:
    """The right to use some slots, shared by all `SlotFilters` of these slots."""

    def __init__(self, pool: SlotPool, slots: FilterSlots) -> None:
        self.pool, self.slots = pool, slots
        self._finalizer = weakref.finalize(self, pool.take_back, slots)

    def release(self) -> None:
        """Returns the slots to the pool. Later calls do nothing."""
        self._finalizer()


@dataclass(frozen=True)
class SlotFilters:
    """Filters in the slots of `rows`; see `Filters`. Operations change them in place."""

    allocation: Allocation
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrays(self) -> ArrayFilters:
        """A copy."""
        return self.allocation.slots.read(self.rows)

    @property
    def execution(self) -> str:
        """How the programs of these slots run; see `FilterSlots.execution`."""
        return self.allocation.slots.execution

    def take(self, rows: Rows) -> SlotFilters:
        """See `Filters`."""
        return SlotFilters(self.allocation, self.rows[rows])

    def put(self, rows: Rows, part: Filters) -> SlotFilters:
        """See `Filters`. A part in the same slots has been changed in place already."""
        if not (isinstance(part, SlotFilters) and part.allocation is self.allocation):
            self.allocation.slots.write(self.rows[rows], part.arrays)
        return self

    def extended(self, others: Sequence[Filters], capacity: int | None) -> SlotFilters:
        """See `Filters`. If there are not enough slots, all filters move to at least twice as many."""
        slots, count = self.allocation.slots, len(self) + sum(map(len, others))
        if slots_for(count, capacity) > slots.capacity:
            moved = self.allocation.pool.stored(self.arrays, slots_for(count, capacity)).extended(others, capacity)
            slots.outgrown = slots.capacity > 1  # a single slot serves the next new target
            self.release()  # last: after an error these filters are still in use
            return moved
        rows = self.rows
        for other in others:
            free = np.setdiff1d(np.arange(slots.capacity), rows)[: len(other)]
            slots.write(free, other.arrays)
            other.release()
            rows = np.concatenate([rows, free])
        return SlotFilters(self.allocation, rows)

    def release(self) -> None:
        """See `Filters`."""
        self.allocation.release()

    def detect(self, programs: FramePrograms, places: Structures) -> PendingPeaks:
        """See `Filters`."""
        if programs is not self.allocation.pool.programs:
            return self.arrays.detect(programs, places)
        return self.allocation.slots.detect(self.rows, places)

    def update(self, programs: FramePrograms, places: Structures) -> Filters:
        """See `Filters`."""
        if programs is not self.allocation.pool.programs:
            return self.arrays.update(programs, places)
        self.allocation.slots.update(self.rows, places)
        return self

    def decide(self, programs: FramePrograms, targets: Targets, frames: Mapping[int, Any]) -> Decided | None:
        """See `Filters`."""
        if programs is not self.allocation.pool.programs:
            return None
        return decided_frames.decide(self.allocation.slots, programs, self.rows, targets, frames)


def slots_for(count: int, capacity: int | None) -> int:
    """Number of slots for `count` targets: the requested capacity if it is enough, else a power of two."""
    return capacity if capacity is not None and capacity >= count else 1 << (count - 1).bit_length()
