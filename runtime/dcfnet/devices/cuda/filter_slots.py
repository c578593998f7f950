"""Filters in slots of device memory, and the two programs of a frame, captured for them as CUDA graphs.

    host      targets, frames, slots -> pinned memory           patch places, slots -> pinned memory
    device    [copy, PLACES, DETECT, DECIDE, copy back]         [copy, UPDATE]: only queued

A slot has room for one target. A program runs on the slots that need it (slot_programs.py). So targets can be added and
removed without a new capture, as long as there are enough slots.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.devices.cuda.graph_capture import CALL_BY_CALL
from dcfnet.devices.cuda.kernels.decisions import Decisions
from dcfnet.devices.cuda.kernels.peaks import PeakReader
from dcfnet.devices.cuda.sampling import Structures
from dcfnet.devices.cuda.slot_programs import Found, SlotPrograms, size_classes
from dcfnet.devices.filters import ArrayFilters, FramePrograms, PendingPeaks, Rows
from dcfnet.devices.records import SEARCH, TARGET, Outcomes, Targets, copied, peak_of, taken
from dcfnet.filter.response import Peak


class StreamOrder:
    """Keeps the order of work on shared memory if the caller changes the current stream."""

    def __init__(self, device: Any) -> None:
        self._device, self._stream = device, device.current_stream()

    def follow(self) -> None:
        """Work that is queued next runs after the work that was queued on the previous stream."""
        stream = self._device.current_stream()
        if self._stream != stream:
            self._stream.synchronize()
            self._stream = stream

    def finish(self) -> None:
        """Waits for the last stream. At the end of a process CUDA may be gone."""
        with suppress(Exception):
            self._stream.synchronize()


class KnownRegions(NamedTuple):
    """The largest regions of the next search, (N, 2), of these targets. They are valid for this array only."""

    targets: Targets
    regions: Pairs


class FilterSlots:
    """Device memory for the filters of `capacity` targets, and the captured programs on it."""

    def __init__(
        self, device: Any, reader: PeakReader, programs: FramePrograms, like: ArrayFilters, capacity: int
    ) -> None:
        """like: filters of the same shapes and types, for any number of targets."""
        self.capacity = capacity
        self.known_regions = KnownRegions(np.zeros(0, TARGET), np.zeros((0, 2)))
        self.outgrown = False  # true if the targets moved to a larger object: this one is not used again
        self._device, shapes = device, like.by_name().items()
        self.filters = ArrayFilters(
            **{name: device.zeros((capacity, *array.shape[1:]), array.dtype) for name, array in shapes}
        )
        self._sizes, self._ready = size_classes(capacity), False
        tools = (device, reader, Decisions(device, programs.rules), programs, self.filters)
        self._programs = [SlotPrograms(*tools, size) for size in self._sizes]
        self._order = StreamOrder(device)
        # A copy to the pinned memory may still run when the slots are dropped.
        weakref.finalize(self, self._order.finish)

    def close(self) -> None:
        """Frees all memory at once. Do not use the slots afterwards."""
        self._order.finish()
        self._programs.clear()

    @property
    def execution(self) -> str:
        """How the programs run, of the constants of `graph_capture`. All run in the same way, or one failed."""
        executions = set[str]().union(*(programs.executions for programs in self._programs))
        return executions.pop() if len(executions) == 1 else CALL_BY_CALL

    def write(self, rows: Rows, filters: ArrayFilters) -> None:
        """Queues a copy of filters to the slots in `rows`."""
        self._order.follow()
        for name, array in filters.by_name().items():
            for index, row in enumerate(rows.tolist()):
                self.filters.by_name()[name][row] = array[index]

    def read(self, rows: Rows) -> ArrayFilters:
        """A copy of the filters in the slots of `rows`, queued."""
        self._order.follow()
        return self.filters.take(rows)

    def detect(self, slots: Rows, places: Structures) -> PendingPeaks:
        """As `Filters.detect`, for these slots."""
        programs = self._prepared(len(slots))
        found = programs.detect(slots, places)

        def read(rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
            self._device.wait()
            outcomes = copied(programs.found.outcomes[found])
            outcomes = outcomes if rows is None else taken(outcomes, rows)
            return outcomes["winner"].astype(np.intp), peak_of(outcomes)

        return read

    def decide(
        self, slots: Rows, frames: Structures, targets: Targets, first: Outcomes | None = None, flags: int = SEARCH
    ) -> Found:
        """One search pass with its decisions, see `SlotPrograms.decide`. Waits. The next pass overwrites the result."""
        programs = self._prepared(len(slots))
        rows = programs.decide(slots, frames, targets, first, flags)
        self._device.wait()
        return programs.found_of(rows)

    def update(self, slots: Rows, places: Structures) -> None:
        """As `Filters.update`, for these slots."""
        self._prepared(len(slots)).update(slots, places)

    def _prepared(self, count: int) -> SlotPrograms:
        """The programs for `count` targets. All are captured before the first use of any, so no later frame waits."""
        if not self._ready:
            for programs in self._programs:
                programs.prepare()
            self._ready = True
        self._order.follow()
        return self._programs[bisect_left(self._sizes, count)]
