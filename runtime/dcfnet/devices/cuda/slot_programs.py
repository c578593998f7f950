"""The programs *detect* and *update* for a number of targets in any slots, captured once for each size class.

A frame rarely needs all slots: some are free, few targets have a second search pass, and each target counts its own
frames until an update. So there are programs for 1, 2, 4, ... targets, and one for all slots. The smallest one that is
large enough runs. It copies the filters that it reads from their slots, and stores new ones in their slots. The program
for all slots reads filters in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.cuda.graph_capture import CapturedBackbone, CapturedProgram
from dcfnet.devices.cuda.kernels.peaks import PeakReader
from dcfnet.devices.cuda.sampling import Structures
from dcfnet.devices.filters import ArrayFilters, FramePrograms, Rows
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone

# Slots are numbered from 1 in the parameters, so that zeros, as in the rehearsal of a capture, change no filter.
FIRST_SLOT = 1
READ_BY_DETECT = ("filter_f", "first_f", "colours")  # arrays of `ArrayFilters`
READ_BY_UPDATE = ("numerator", "denominator", "focused_f", "colours")


def size_classes(capacity: int) -> list[int]:
    """The powers of two below the number of slots, and this number."""
    return [*(1 << power for power in range((capacity - 1).bit_length())), capacity]


class SlotPrograms:
    """The two programs for `size` targets. filters: of all slots, used in place if there are `size` of them."""

    def __init__(
        self,
        device: Any,
        reader: PeakReader,
        programs: FramePrograms,
        filters: ArrayFilters,
        peaks: NDArray[np.float64],
        size: int,
    ) -> None:
        """peaks: of all slots, float64 (slots, NUMBERS_PER_TARGET), pinned; *detect* writes the first `size` rows."""
        self.size, self._whole, self._patches = size, size == len(filters), programs.patches_per_target
        backbones = [_capture_backbone(programs.backbone) for _ in range(2)]
        works = [_SlotWork(device, reader, programs.for_capture(each), filters, peaks[:size]) for each in backbones]
        detect_bytes, update_bytes = (size * (count * PLACE.itemsize + 4) for count in (self._patches, 1))
        self._detect_program = CapturedProgram(device, detect_bytes, works[0].detect, backbones[0])
        self._update_program = CapturedProgram(device, update_bytes, works[1].update, backbones[1])

    def prepare(self) -> None:
        """Captures both programs; see `CapturedProgram.prepare`."""
        self._detect_program.prepare()
        self._update_program.prepare()

    @property
    def executions(self) -> set[str]:
        """How the programs run, of the constants of `graph_capture`."""
        return {self._detect_program.execution, self._update_program.execution}

    def detect(self, slots: Rows, places: Structures) -> Rows:
        """Queues *detect* for at most `size` slots. places: of their patches. The rows of the targets in the peaks."""
        rows = self._write(self._detect_program, slots, places.reshape(len(slots), -1))
        self._detect_program.run()
        return rows

    def update(self, slots: Rows, places: Structures) -> None:
        """Queues *update* for at most `size` slots. places: of their patches, one each."""
        self._write(self._update_program, slots, places.reshape(-1, 1))
        self._update_program.run()

    def _write(self, program: CapturedProgram, slots: Rows, places: Structures) -> Rows:
        """Writes the parameters of a run. Returns the rows of the targets among the places. places: PLACE (N, P).

        A place of zeros refers to a frame without pixels, so all of its patch is outside the frame.
        """
        rows, each = slots if self._whole else np.arange(len(slots)), places.shape[1]
        parameters, end = program.parameters(), self.size * each * PLACE.itemsize
        if len(slots) < self.size:
            parameters.fill(0)
        parameters[:end].view(PLACE).reshape(self.size, each)[rows] = places
        parameters[end:].view(np.int32)[rows] = slots + FIRST_SLOT
        return rows


@dataclass(frozen=True)
class _SlotWork:
    """The work of the programs of one size. It refers to no program, so a dropped program is free at once."""

    device: Any
    reader: PeakReader
    programs: FramePrograms
    filters: ArrayFilters
    peaks: NDArray[np.float64]

    @property
    def size(self) -> int:
        """The number of targets."""
        return len(self.peaks)

    def detect(self, parameters: Array) -> Array:
        """Places of P patches for each target, then its slot -> the numbers of `PeakReader`, also copied to `peaks`."""
        places, slots = self._split(parameters, self.programs.patches_per_target)
        maps = self.programs.responses(places, self._taken(slots, READ_BY_DETECT))
        peaks = self.reader(*maps, self.programs.scale_penalty)
        self.device.fetch(peaks, self.peaks)
        return peaks

    def update(self, parameters: Array) -> Array:
        """Places of one patch for each target, then its slot. Filters without a slot are not stored."""
        places, slots = self._split(parameters, 1)
        before = self._taken(slots, READ_BY_UPDATE)
        for name, array in self.programs.updated_filters(places, before).by_name().items():
            if array is not before.by_name()[name]:
                new, kept = self.device.contiguous(array), self.filters.by_name()[name]
                self._launch("store_slots", new, kept, slots)
        return parameters

    def _split(self, parameters: Array, patches: int) -> tuple[Array, Array]:
        """Places as bytes, uint8 (N x P, bytes of PLACE), and numbers of slots, int32 (N,)."""
        end = self.size * patches * PLACE.itemsize
        return parameters[:end].reshape(-1, PLACE.itemsize), parameters[end:].view(np.int32)

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
