"""Filters in slots of device memory, and the two programs of a frame, captured for them as CUDA graphs.

    host      patch places -> pinned memory               patch places, selected slots -> pinned memory
    device    copy, DETECT, copy seven numbers per target   copy, UPDATE: only queued

A slot has room for one target. A program runs on all slots. A slot without a target in this frame gets patches outside
any frame, and a slot that is not selected keeps its filters. So targets can be added and removed without a new
capture, as long as there are enough slots.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.frame import PLACE
from dcfnet.devices.cuda.graph_capture import CALL_BY_CALL, CapturedBackbone, CapturedProgram
from dcfnet.devices.cuda.kernels.constants import NUMBERS_PER_TARGET
from dcfnet.devices.cuda.kernels.peaks import PeakReader, unpack_peaks
from dcfnet.devices.cuda.sampling import Structures
from dcfnet.devices.filters import ArrayFilters, FramePrograms, PendingPeaks, Rows
from dcfnet.filter.dcf import Array
from dcfnet.filter.response import Peak
from dcfnet.model.backbone import Backbone


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


class FilterSlots:
    """Device memory for the filters of `capacity` targets, and the two captured programs on it."""

    def __init__(
        self, device: Any, reader: PeakReader, programs: FramePrograms, like: ArrayFilters, capacity: int
    ) -> None:
        """like: filters of the same shapes and types, for any number of targets."""
        self.capacity = capacity
        self.outgrown = False  # true if the targets moved to a larger object: this one is not used again
        self._device, self._reader, self._patches = device, reader, programs.patches_per_target
        backbones = [_capture_backbone(programs.backbone) for _ in range(2)]
        self._detect_programs, self._update_programs = (programs.for_capture(backbone) for backbone in backbones)
        shapes = like.by_name().items()
        self.filters = ArrayFilters(
            **{name: device.zeros((capacity, *array.shape[1:]), array.dtype) for name, array in shapes}
        )
        detect_bytes, update_bytes = capacity * self._patches * PLACE.itemsize, capacity * (PLACE.itemsize + 4)
        self._detect_program = CapturedProgram(device, detect_bytes, self._detect, backbones[0])
        self._update_program = CapturedProgram(device, update_bytes, self._update, backbones[1])
        peaks = device.pinned(capacity * NUMBERS_PER_TARGET * 8)
        self._peaks: NDArray[np.float64] = peaks.view(np.float64).reshape(capacity, NUMBERS_PER_TARGET)
        self._order = StreamOrder(device)
        # A copy to the pinned memory may still run when the slots are dropped.
        weakref.finalize(self, self._order.finish)

    def close(self) -> None:
        """Frees all memory at once: the programs refer to the slots. Do not use the slots afterwards."""
        self._order.finish()
        del self._detect_program, self._update_program

    @property
    def execution(self) -> str:
        """How the programs run, of the constants of `graph_capture`. Both run in the same way, or one failed."""
        each = {self._detect_program.execution, self._update_program.execution}
        return each.pop() if len(each) == 1 else CALL_BY_CALL

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
        self._prepare()
        self._order.follow()
        # A place of zeros refers to a frame without pixels, so all of its patch is outside the frame.
        parameters = np.zeros((self.capacity, self._patches), PLACE)
        parameters[slots] = places.reshape(len(slots), -1)
        self._device.fetch(self._detect_program.run(parameters.reshape(-1).view(np.uint8)), self._peaks)

        def read(rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
            self._device.wait()
            return unpack_peaks(self._peaks[slots if rows is None else slots[rows]])

        return read

    def update(self, rows: Rows, places: Structures) -> None:
        """As `Filters.update`, for the slots in `rows`."""
        self._prepare()
        self._order.follow()
        parameters = np.zeros(self.capacity * (PLACE.itemsize + 4), np.uint8)
        all_places, selected = self._split(parameters)
        all_places.view(PLACE)[rows], selected.view(np.int32)[rows] = places, 1
        self._update_program.run(parameters)

    def _split(self, parameters: Array) -> tuple[Array, Array]:
        """The bytes of the places, and the bytes of the int32 flags of the slots to update."""
        end = self.capacity * PLACE.itemsize
        return parameters[:end], parameters[end:]

    def _detect(self, parameters: Array) -> Array:
        programs = self._detect_programs
        maps = programs.responses(parameters.reshape(-1, PLACE.itemsize), self.filters)
        return self._reader(*maps, programs.scale_penalty)

    def _update(self, parameters: Array) -> Array:
        places, selected = self._split(parameters)
        updated = self._update_programs.updated_filters(places.reshape(-1, PLACE.itemsize), self.filters)
        for name, array in updated.by_name().items():
            new = self._device.contiguous(array).view(np.float32)
            kept, each = self.filters.by_name()[name].view(np.float32), int(np.prod(new.shape[1:]))
            sizes = (np.int32(self.capacity), np.int32(each))
            self._device.launch("store_selected", self.capacity * each, new, kept, selected.view(np.int32), *sizes)
        return parameters

    def _prepare(self) -> None:
        """Captures both programs before the first use of either one, so that no later frame waits for a capture."""
        self._detect_program.prepare()
        self._update_program.prepare()


def _capture_backbone(backbone: Backbone) -> CapturedBackbone | None:
    """The backbone for one captured program; None if the backbone is capturable as it is."""
    return None if backbone.capturable else CapturedBackbone(backbone)
