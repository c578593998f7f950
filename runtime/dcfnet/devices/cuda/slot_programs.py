"""The programs *detect* and *update* for a number of targets in any slots, captured once for each size class.

A frame rarely needs all slots: some are free, few targets have a second search pass, and each target counts its own
frames until an update. So there are programs for 1, 2, 4, ... targets, and one for all slots. The smallest one that is
large enough runs. It copies the filters that it reads from their slots, and stores new ones in their slots. The program
for all slots reads filters in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.cuda.graph_capture import CapturedBackbone, CapturedProgram
from dcfnet.devices.cuda.kernels.decisions import Decisions
from dcfnet.devices.cuda.kernels.peaks import PeakReader
from dcfnet.devices.cuda.kernels.sections import Sections
from dcfnet.devices.cuda.sampling import Structures
from dcfnet.devices.filters import ArrayFilters, FramePrograms, Rows
from dcfnet.devices.records import Outcomes, Targets, copied, put, raw, taken
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone

# Slots are numbered from 1 in the parameters, so that zeros, as in the rehearsal of a capture, change no filter.
FIRST_SLOT = 1
READ_BY_DETECT = ("filter_f", "first_f", "colours")  # arrays of `ArrayFilters`
READ_BY_UPDATE = ("numerator", "denominator", "focused_f", "colours")


def size_classes(capacity: int) -> list[int]:
    """The powers of two below the number of slots, and this number."""
    return [*(1 << power for power in range((capacity - 1).bit_length())), capacity]


class Found(NamedTuple):
    """What *detect* returned: targets, outcomes, and places for updates of filters; see `Sections.found`."""

    targets: Targets
    outcomes: Outcomes
    updates: Structures

    def take(self, rows: Rows | NDArray[np.bool_] | slice) -> Found:
        """The records of some targets; a view for a slice."""
        return Found(*(taken(values, rows) for values in self))

    def put(self, rows: Rows, others: Found) -> None:
        """Replaces the records in `rows`."""
        for values, new in zip(self, others, strict=True):
            put(values, rows, new)

    def copy(self) -> Found:
        """Records that the next pass does not change."""
        return Found(*map(copied, self))


class SlotPrograms:
    """The two programs for `size` targets. filters: of all slots, used in place if there are `size` of them.

    found: what the last run of *detect* returned; valid after a wait, until the next run.
    """

    def __init__(
        self,
        device: Any,
        reader: PeakReader,
        decisions: Decisions,
        programs: FramePrograms,
        filters: ArrayFilters,
        size: int,
    ) -> None:
        self.size, self._whole = size, size == len(filters)
        searched, learnt = Sections.searched(size, programs.patches_per_target), Sections.learnt(size)
        found = device.pinned(Sections.found(size).nbytes)
        self.found = Found(**Sections.found(size).records(found))
        backbones = [_capture_backbone(programs.backbone) for _ in range(2)]
        tools = (device, reader, decisions)
        works = [_SlotWork(*tools, programs.for_capture(each), filters, size, found) for each in backbones]
        self._detect_program = CapturedProgram(device, searched.nbytes, works[0].detect, backbones[0])
        self._update_program = CapturedProgram(device, learnt.nbytes, works[1].update, backbones[1])
        self._to_detect = _Parameters(self._detect_program, searched, self._whole)
        self._to_update = _Parameters(self._update_program, learnt, self._whole)
        self._rows, self._found = slice(0, size), self.found  # views of `found`, of the last rows

    def prepare(self) -> None:
        """Captures both programs; see `CapturedProgram.prepare`."""
        self._detect_program.prepare()
        self._update_program.prepare()

    @property
    def executions(self) -> set[str]:
        """How the programs run, of the constants of `graph_capture`."""
        return {self._detect_program.execution, self._update_program.execution}

    def detect(self, slots: Rows, places: Structures) -> Rows | slice:
        """Queues *detect* for at most `size` slots. places: of their patches. The rows of the targets in `found`."""
        given = self._to_detect
        rows = given.begin(slots)
        given.raw["places"][rows] = raw(places).reshape(len(slots), -1)
        given.flags[rows] = 0
        self._detect_program.run()
        return rows

    def decide(
        self, slots: Rows, frames: Structures, targets: Targets, first: Outcomes | None, flags: int
    ) -> Rows | slice:
        """Queues *detect* for at most `size` slots, at places that it computes; it also decides about the targets.

        frames: a place in the frame of each target, or in the frame of all. first: for a second search pass, the
        outcomes of the first one, with the flags of a second pass. flags: of a first pass, SEARCH and perhaps VIEW. The
        rows of the targets in `found`.
        """
        given = self._to_detect
        rows = given.begin(slots)
        given.raw["frames"][rows] = raw(frames)
        given.raw["targets"][rows] = raw(targets)
        if first is None:
            given.flags[rows] = flags
        else:
            given.raw["before"][rows] = raw(first)
        self._detect_program.run()
        return rows

    def found_of(self, rows: Rows | slice) -> Found:
        """The records of `found` in these rows; views for a slice."""
        if not isinstance(rows, slice):
            return self.found.take(rows)
        if rows is not self._rows:
            self._rows, self._found = rows, self.found.take(rows)
        return self._found

    def update(self, slots: Rows, places: Structures) -> None:
        """Queues *update* for at most `size` slots. places: of their patches, one each."""
        given = self._to_update
        given.raw["frames"][given.begin(slots)] = raw(places)
        self._update_program.run()


class _Parameters:
    """The parameters of a program, and their rows.

    raw: the sections as records without fields; also frames (size,), the first place of each target. flags: int32
    (size,), of the outcomes; empty if there are none.
    """

    def __init__(self, program: CapturedProgram, sections: Sections, whole: bool) -> None:
        self._program, self._size, self._whole = program, sections.size, whole
        records = sections.records(program.parameters())
        self._slot_numbers = records.pop("slots")
        self.flags = records["before"]["flags"] if "before" in records else np.zeros(0, np.int32)
        self.raw = {name: raw(values) for name, values in records.items()}
        self.raw["frames"] = self.raw["places"][:, 0]
        self._slots: Rows | None = None  # of the last run
        self._rows: Rows | slice = slice(0, 0)

    def begin(self, slots: Rows) -> Rows | slice:
        """Waits for the end of the last run, and writes the slots of the next one. Returns their rows in the records.

        A place of zeros refers to a frame without pixels, so all of its patch is outside the frame.
        """
        parameters = self._program.parameters()
        if slots is self._slots:  # nearly always
            return self._rows
        if len(slots) < self._size:
            parameters.fill(0)
        in_order = not self._whole or np.array_equal(slots, np.arange(len(slots)))
        self._slots, self._rows = slots, slice(0, len(slots)) if in_order else slots
        self._slot_numbers[self._rows] = slots + FIRST_SLOT
        return self._rows


@dataclass(frozen=True)
class _SlotWork:
    """The work of the programs of one size. It refers to no program, so a dropped program is free at once.

    found: pinned memory for `Sections.found`, uint8.
    """

    device: Any
    reader: PeakReader
    decisions: Decisions
    programs: FramePrograms
    filters: ArrayFilters
    size: int
    found: NDArray[np.uint8]

    def detect(self, parameters: Array) -> Array:
        """`Sections.searched` -> `Sections.found`, also copied to `found`."""
        given = Sections.searched(self.size, self.programs.patches_per_target).of(parameters)
        levels, views = self.decisions.place_searches(given, self.size), self.decisions.read_views(given, self.size)
        slots = given["slots"].view(np.int32)
        maps = self.programs.responses(given["places"].reshape(-1, PLACE.itemsize), self._taken(slots, READ_BY_DETECT))
        peaks = self.reader(*maps, self.programs.scale_penalty)
        found = self.decisions.decide(given, levels, peaks, views, self.size)
        self.device.fetch(found, self.found)
        return found

    def update(self, parameters: Array) -> Array:
        """Places of one patch for each target, then its slot. Filters without a slot are not stored."""
        given = Sections.learnt(self.size).of(parameters)
        places, slots = given["places"].reshape(-1, PLACE.itemsize), given["slots"].view(np.int32)
        before = self._taken(slots, READ_BY_UPDATE)
        for name, array in self.programs.updated_filters(places, before).by_name().items():
            if array is not before.by_name()[name]:
                new, kept = self.device.contiguous(array), self.filters.by_name()[name]
                self._launch("store_slots", new, kept, slots)
        return parameters

    def _taken(self, slots: Array, names: tuple[str, ...]) -> ArrayFilters:
        """The filters of these slots: copies of the named arrays. The other arrays have the shapes only."""
        arrays = self.filters.by_name()
        if self.size == len(self.filters):
            return self.filters
        taken = {name: array[: self.size] for name, array in arrays.items()}
        for name in names:
            taken[name] = self.device.empty((self.size, *arrays[name].shape[1:]), arrays[name].dtype)
            self._launch("take_slots", arrays[name], taken[name], slots)
        return ArrayFilters(**taken)

    def _launch(self, kernel: str, source: Array, target: Array, slots: Array) -> None:
        """take_slots or store_slots for arrays of float32 or complex64."""
        numbers = [array.view(np.float32) for array in (source, target)]
        each = int(np.prod(numbers[0].shape[1:]))
        self.device.launch(kernel, self.size * each, *numbers, slots, np.int32(self.size), np.int32(each))


def _capture_backbone(backbone: Backbone) -> CapturedBackbone | None:
    """The backbone for one captured program; None if the backbone is capturable as it is."""
    return None if backbone.capturable else CapturedBackbone(backbone)
