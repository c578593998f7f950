"""Filters in slots, and the two programs of a frame captured upon them: a launch each, whatever they hold.

    host      where the patches lie ----------> pinned, in turns        which targets learn ---> pinned, in turns
    device    copy, DETECT, six numbers a target back to the host       copy, LEARN: only queued

A slot is room for one target, and a program runs over all of them: one that is not asked for has its patches outside
any frame, and one that is not to learn keeps its values. So targets come and go, are looked for again or let be, with
no new capture, until there are more of them than slots. The programs are the pipeline's, which knows nothing of this.

A captured program takes its memory from a pool of its own, once, before it is captured; what it frees on the way only
the two programs of the same slots take again, and they run one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backbones import Backbone
from dcfnet.backend import Array
from dcfnet.filters import ArrayFilters, Detected, Filters, Rows
from dcfnet.kernels import PLACE, WORDS, Words
from dcfnet.reading import READ, PeakReader, told
from dcfnet.recording import Program, Recorded
from dcfnet.response import Peak

if TYPE_CHECKING:
    from dcfnet.pipeline import Pipeline


class Slots:
    """Room for the filters of `capacity` targets, and the two programs upon them."""

    def __init__(self, device: Any, reader: PeakReader, pipeline: Pipeline, like: ArrayFilters, capacity: int) -> None:
        """like: filters whose shapes and types these have, but for the number of targets."""
        self.capacity, self.pipeline = capacity, pipeline
        detecting, learning = (_recorded(pipeline.backbone) for _ in range(2))
        self._detected, self._learnt = (
            replace(pipeline, backbone=backbone or pipeline.backbone) for backbone in (detecting, learning)
        )
        self._device, self._reader, self._scales = device, reader, len(pipeline.scales)
        self.filters = ArrayFilters(
            **{name: device.zeros((capacity, *array.shape[1:]), array.dtype) for name, array in like.each().items()}
        )
        self._detecting = Program(device, capacity * self._scales * PLACE.itemsize, self._detect, detecting)
        self._learning = Program(device, capacity * (PLACE.itemsize + 4), self._learn, learning)
        found = device.pinned(capacity * READ * 8)
        self._found: NDArray[np.float64] = found.view(np.float64).reshape(capacity, READ)
        self._pool, self._stream, self._prepared = device.pool(), device.current_stream(), False

    def close(self) -> None:
        """Lets go of the programs, which refer to these slots, and so of all memory at once; they are used no more."""
        self._stream.synchronize()
        del self._detecting, self._learning

    def __del__(self) -> None:
        with suppress(Exception):  # whatever is left of CUDA by then
            self._stream.synchronize()  # a copy may still run out of pinned memory that is somebody else's next

    def write(self, rows: Rows, filters: ArrayFilters) -> None:
        """Filters into the slots of `rows`, queued."""
        self._in_order()
        for name, array in filters.each().items():
            for index, row in enumerate(rows.tolist()):
                self.filters.each()[name][row] = array[index]

    def read(self, rows: Rows) -> ArrayFilters:
        """A copy of the filters in the slots of `rows`, queued."""
        self._in_order()
        return self.filters.take(rows)

    def detect(self, slots: Rows, where: Words) -> Detected:
        """As `Filters.detect`, of these slots."""
        self._prepare()
        self._in_order()
        # Zeros are of a frame without pixels: all of it lies outside.
        given = np.zeros((self.capacity, self._scales * WORDS), np.int32)
        given[slots] = where.reshape(len(slots), -1)
        self._device.fetch(self._detecting.run(given.reshape(-1).view(np.uint8)), self._found)

        def answer(rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
            self._device.wait()
            return told(self._found[slots if rows is None else slots[rows]])

        return answer

    def learn(self, rows: Rows, where: Words) -> None:
        """As `Filters.learn`, in the slots of `rows`."""
        self._prepare()
        self._in_order()
        given = np.zeros(self.capacity * (WORDS + 1), np.int32)  # where, and behind it who learns
        end = self.capacity * WORDS
        given[:end].reshape(-1, WORDS)[rows], given[end:][rows] = where, 1
        self._learning.run(given.view(np.uint8))

    def _detect(self, given: Array) -> Array:
        maps, placed = self._detected.responses(given.reshape(-1, PLACE.itemsize), self.filters)
        return self._reader(maps, placed, self.pipeline.config.scale_penalty)

    def _learn(self, given: Array) -> Array:
        end = self.capacity * PLACE.itemsize
        learnt = self._learnt.lesson(given[:end].reshape(-1, PLACE.itemsize), self.filters)
        wanted = given[end:].view(np.int32)
        for name, array in learnt.each().items():
            made = self._device.contiguous(array).view(np.float32)
            kept, each = self.filters.each()[name].view(np.float32), int(np.prod(made.shape[1:]))
            numbers = (np.int32(self.capacity), np.int32(each))
            self._device.launch("settle", self.capacity * each, made, kept, wanted, *numbers)
        return given

    def _prepare(self) -> None:
        """Both programs are captured, before the first is needed: none of them is late at another time."""
        if not self._prepared:
            self._detecting.prepare(self._pool)
            self._learning.prepare(self._pool)
            self._prepared = True

    def _in_order(self) -> None:
        """What comes runs behind what was queued upon these slots, on whatever stream that was."""
        stream = self._device.current_stream()
        if self._stream != stream:
            self._stream.synchronize()
            self._stream = stream


def _recorded(backbone: Backbone) -> Recorded | None:
    """The backbone in a program of its own; None for one that can be captured as it is."""
    return None if getattr(backbone, "capturable", False) else Recorded(backbone)


class Arena:
    """All slots of one pipeline. Those that nobody holds any more are taken again, with what was captured upon them."""

    def __init__(self, device: Any, reader: PeakReader, pipeline: Pipeline) -> None:
        self.pipeline, self.free = pipeline, list[Slots]()
        self._parts = (device, reader, pipeline)

    def lease(self, like: ArrayFilters, capacity: int) -> Lease:
        """Slots for `capacity` targets."""
        found = next((slots for slots in self.free if slots.capacity == capacity), None)
        if found is None:
            return Lease(self, Slots(*self._parts, like, capacity))
        self.free.remove(found)
        return Lease(self, found)

    def laid(self, filters: ArrayFilters, capacity: int | None = None) -> SlotFilters:
        """Filters in slots of their own."""
        lease, rows = self.lease(filters, room(len(filters), capacity)), np.arange(len(filters))
        lease.slots.write(rows, filters)
        return SlotFilters(lease, rows)


class Lease:
    """Holds slots for as long as it lives. outgrown: nobody will want so few again."""

    def __init__(self, arena: Arena, slots: Slots) -> None:
        self.arena, self.slots, self.outgrown = arena, slots, False

    def __del__(self) -> None:
        if self.outgrown:
            self.slots.close()
        else:
            self.arena.free.append(self.slots)


@dataclass(frozen=True)
class SlotFilters:
    """Filters in the slots of `rows`; see `Filters`. What is changed is changed there."""

    lease: Lease
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrays(self) -> ArrayFilters:
        """A copy."""
        return self.lease.slots.read(self.rows)

    def take(self, rows: Rows) -> SlotFilters:
        """See `Filters`."""
        return SlotFilters(self.lease, self.rows[rows])

    def put(self, rows: Rows, part: Filters) -> SlotFilters:
        """See `Filters`: a part of these has been changed where it lies."""
        if not (isinstance(part, SlotFilters) and part.lease is self.lease):
            self.lease.slots.write(self.rows[rows], part.arrays)
        return self

    def joined(self, others: Sequence[Filters], capacity: int | None) -> SlotFilters:
        """See `Filters`. Where there is no room left all move to other slots, twice as many or more."""
        count = len(self) + sum(map(len, others))
        if room(count, capacity) > self.lease.slots.capacity:
            moved = self.lease.arena.laid(self.arrays, room(count, capacity)).joined(others, capacity)
            self.lease.outgrown = self.lease.slots.capacity > 1  # one is what the next new target is learnt in
            return moved
        rows, slots = self.rows, self.lease.slots
        for other in others:
            free = np.setdiff1d(np.arange(slots.capacity), rows)[: len(other)]
            slots.write(free, other.arrays)
            rows = np.concatenate([rows, free])
        return SlotFilters(self.lease, rows)

    def detect(self, pipeline: Pipeline, where: Words) -> Detected:
        """See `Filters`."""
        if pipeline is not self.lease.slots.pipeline:
            return self.arrays.detect(pipeline, where)
        return self.lease.slots.detect(self.rows, where)

    def learn(self, pipeline: Pipeline, where: Words) -> Filters:
        """See `Filters`."""
        if pipeline is not self.lease.slots.pipeline:
            return self.arrays.learn(pipeline, where)
        self.lease.slots.learn(self.rows, where)
        return self


def room(count: int, capacity: int | None) -> int:
    """Slots for so many targets: a power of two, or the capacity that was asked for."""
    return capacity if capacity is not None and capacity >= count else 1 << (count - 1).bit_length()
