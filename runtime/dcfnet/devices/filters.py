"""The filters of N targets, and the two array programs of a frame: *detect* and *update*.

Both programs are pure: arrays of the backend in, arrays out. Their shapes depend on N alone, and no value is read on
the host. A backend runs them as they are written (`ArrayFilters`), or captures them
(`cuda/slot_programs.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.records import Decided, Targets
from dcfnet.filter.dcf import Array
from dcfnet.filter.response import Peak
from dcfnet.filter.update import FilterSolution
from dcfnet.model.backbone import Backbone

PatchPlaces: TypeAlias = (
    Any  # where patches are in their frames, as `Backend.patch_places` returns it; has len and slices
)
Rows = NDArray[np.intp]


class FramePrograms(Protocol):
    """The two array programs of a frame. `tracking.Pipeline` implements it.

    backbone: runs inside both programs. scales: float64 (S,), the scale pyramid. patches_per_target: P, the number of
    search patches of a target: S, or 1 if all scales are read from one patch. rules: the constants of the decisions,
    RULES (1,).
    """

    @property
    def backbone(self) -> Backbone: ...

    @property
    def scales(self) -> NDArray[np.float64]: ...

    @property
    def patches_per_target(self) -> int: ...

    @property
    def scale_penalty(self) -> float: ...

    @property
    def rules(self) -> NDArray[np.void]: ...

    def largest_regions(self, size: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest regions of the search patches of targets of these sizes, (N, 2) each, frame pixels."""

    def responses(self, places: PatchPlaces, filters: ArrayFilters) -> tuple[Array, Array, Array]:
        """The program *detect* without its readout: N x P patches -> the three arguments of `read_peaks`, float32."""

    def updated_filters(self, places: PatchPlaces, filters: ArrayFilters) -> ArrayFilters:
        """The program *update*: the filters of N targets, blended towards N template patches."""

    def read_peaks(self, maps: Array, position_maps: Array, first_maps: Array) -> tuple[NDArray[np.intp], Peak]:
        """The winning scale (N,) and the peak of each target. Waits for the device."""

    def for_capture(self, backbone: Backbone | None) -> FramePrograms:
        """The same programs for one capture: with working memory of their own, and on this backbone if given."""


class PendingPeaks(Protocol):
    """Peaks that a device may still be computing."""

    def __call__(self, rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
        """Winning scales (N,) and peaks of all targets, or of those in `rows`. Waits for the device."""


class Filters(Protocol):
    """The filters of N targets, in the memory of any backend. A method may change them in place: use only its result.

    arrays: numerator, filter_f and focused_f complex64 (N, C, K, B+1), denominator float32 (N, 1, K, B+1), in the
    frequencies of `filter.transform`; see `FilterSolution`. colours: float32 (N, 2, BINS), the histograms of
    `filter.colour_histogram`, or zeros (N, 2, 1) if colours are off. first_f: complex64 (N, C, K, B+1), the filter that
    was learnt from the first frame. It never changes, so its response says whether the target is still the same object.
    first_colours: the histograms of the first frame, as `colours`.
    """

    def __len__(self) -> int: ...

    @property
    def arrays(self) -> ArrayFilters: ...

    def take(self, rows: Rows) -> Filters:
        """The filters of the targets in `rows`."""

    def put(self, rows: Rows, part: Filters) -> Filters:
        """All filters, with those of `rows` replaced by `part`. `part` comes from `take`."""

    def extended(self, others: Sequence[Filters], capacity: int | None) -> Filters:
        """These filters and the others, in order. capacity: reserve memory for as many targets; None: as needed."""

    def release(self) -> None:
        """Returns device memory to its owner. Do not use the filters afterwards."""

    def detect(self, programs: FramePrograms, places: PatchPlaces) -> PendingPeaks:
        """Searches for the targets in N x P patches. A device starts at once; the result reads the peaks.

        Read the result before the next `detect`.
        """

    def update(self, programs: FramePrograms, places: PatchPlaces) -> Filters:
        """The filters, blended towards the targets' appearance in N patches. A device only queues the work."""

    def decide(self, programs: FramePrograms, targets: Targets, frames: Mapping[int, Any]) -> Decided | None:
        """Searches for N targets in their frames, decides as `tracking.steps.step` does, and updates the filters.

        The filters change in place. None: nothing has changed, and the host must process the frame. frames: as
        `Backend.frame` returns them.
        """


@dataclass(frozen=True)
class ArrayFilters:
    """Filters as plain arrays of the backend; see `Filters`."""

    numerator: Array
    denominator: Array
    filter_f: Array
    focused_f: Array
    colours: Array
    first_f: Array
    first_colours: Array

    def __len__(self) -> int:
        return len(self.numerator)

    @property
    def arrays(self) -> ArrayFilters:
        """The object itself."""
        return self

    @property
    def solution(self) -> FilterSolution:
        """The filters without the colours."""
        return FilterSolution(self.numerator, self.denominator, self.filter_f, self.focused_f)

    def by_name(self) -> dict[str, Array]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def take(self, rows: Rows) -> ArrayFilters:
        """See `Filters`."""
        return ArrayFilters(**{name: array[rows] for name, array in self.by_name().items()})

    def put(self, rows: Rows, part: Filters) -> ArrayFilters:
        """See `Filters`."""
        changed = {name: array.copy() for name, array in self.by_name().items()}
        for name, array in part.arrays.by_name().items():
            changed[name][rows] = array
        return ArrayFilters(**changed)

    def extended(self, others: Sequence[Filters], capacity: int | None) -> ArrayFilters:
        """See `Filters`."""
        parts = [self, *(other.arrays for other in others)]
        # np.concatenate also works for CuPy arrays (__array_function__).
        names = self.by_name()
        return ArrayFilters(**{name: np.concatenate([part.by_name()[name] for part in parts]) for name in names})

    def release(self) -> None:
        """See `Filters`; does nothing."""

    def detect(self, programs: FramePrograms, places: PatchPlaces) -> PendingPeaks:
        """See `Filters`. The work runs when the result is called, and only for the rows that are asked for."""

        def read(rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
            part, wanted = self, places
            if rows is not None:
                each = programs.patches_per_target
                part, wanted = self.take(rows), places[(rows[:, None] * each + np.arange(each)).reshape(-1)]
            return programs.read_peaks(*programs.responses(wanted, part))

        return read

    def update(self, programs: FramePrograms, places: PatchPlaces) -> ArrayFilters:
        """See `Filters`."""
        return programs.updated_filters(places, self)

    def decide(self, programs: FramePrograms, targets: Targets, frames: Mapping[int, Any]) -> None:
        """See `Filters`; the host decides."""
