"""The state of N targets between two frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Backend, Pairs
from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms
from dcfnet.result import Box

MAX_SOURCE = 2**31 - 1  # largest index of a camera; it fits into 32 bits
VIEW_SIDE = 8  # cells along each side of a view


@dataclass(frozen=True)
class TrackState:
    """N targets. The target axis comes first in every array.

    Host arrays, float64, frame pixels: centre (N, 2), size (N, 2), initial_size (N, 2), frame_size (N, 2), each (x, y)
    or (width, height). initial_size: of the first box or of the last correction; the size keeps its aspect ratio.
    size_limits (N, 2): see `geometry.size_limits`. source (N,): index of each target's frame.
    updates (N,): number of frames in which the target was searched for.
    confident_centre, confident_size (N, 2): from the last frame with a confident detection. typical (N, 3): running
    means of the peak-to-sidelobe ratio, the peak value and the likeness in such frames, 0 before the first one.
    level (N,): grey level around the target in the last such frame, times its light; 0 if unknown. light (N,): factor
    of the levels of pixels, see `light.py`. frames_since_confident (N,): number of frames after the last one.
    occluded_frames (N,): number of frames, up to the last one, in which the target was occluded without a break.
    skipped (N,): number of redetection positions after the last confident detection that there was no time for.
    view (N, VIEW_SIDE, VIEW_SIDE): uint8, mean grey levels of the cells of the last frame in which the target was
    searched for, see `view.py`; 0 if unknown.
    filters: on the backend.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    initial_size: NDArray[np.float64]
    frame_size: NDArray[np.float64]
    size_limits: NDArray[np.float64]
    source: NDArray[np.intp]
    updates: NDArray[np.intp]
    confident_centre: NDArray[np.float64]
    confident_size: NDArray[np.float64]
    typical: NDArray[np.float64]
    level: NDArray[np.float64]
    light: NDArray[np.float64]
    frames_since_confident: NDArray[np.intp]
    occluded_frames: NDArray[np.intp]
    skipped: NDArray[np.intp]
    view: NDArray[np.uint8]
    filters: Filters

    @classmethod
    def initial(
        cls,
        centre: Pairs,
        size: Pairs,
        frame_size: Pairs,
        size_limits: Pairs,
        source: NDArray[np.intp],
        filters: Filters,
    ) -> TrackState:
        """The state of targets in their first frame."""
        zero, typical = np.zeros_like(source), np.zeros((len(centre), 3))
        lights, counts = (np.zeros(len(centre)), np.ones(len(centre))), (zero, zero, zero)
        confident, view = (centre, size, typical), np.zeros((len(centre), VIEW_SIDE, VIEW_SIDE), np.uint8)
        places = (centre, size, size, frame_size, size_limits)
        return cls(*places, source, zero, *confident, *lights, *counts, view, filters)

    @classmethod
    def stored(
        cls,
        backend: Backend,
        programs: FramePrograms,
        arrays: Mapping[str, NDArray[Any]],
        filters: ArrayFilters,
        capacity: int | None = None,
    ) -> TrackState:
        """The state of these host arrays, by name, and filters, which are stored on the backend.

        capacity: see `Filters.extended`.
        """
        return cls.concatenate([cls(**arrays, filters=backend.store_filters(programs, filters))], capacity)

    def copy(self, backend: Backend, programs: FramePrograms, capacity: int | None = None) -> TrackState:
        """A state that shares no memory with this one; other arguments as for `stored`."""
        filters = {name: array.copy() for name, array in self.filters.arrays.by_name().items()}
        arrays = {name: array.copy() for name, array in self.host_arrays().items()}
        return TrackState.stored(backend, programs, arrays, ArrayFilters(**filters), capacity)

    def __len__(self) -> int:
        return len(self.centre)

    def replace(self, **changes: Any) -> TrackState:
        """A copy with some fields replaced."""
        assert changes.keys() <= vars(self).keys(), changes.keys()
        copy = object.__new__(type(self))  # dataclasses.replace takes six times as long
        vars(copy).update(vars(self), **changes)
        return copy

    def take(self, rows: NDArray[np.intp]) -> TrackState:
        """The targets in `rows`; the state itself if these are all targets, in order."""
        if self._is_all(rows):
            return self
        taken = {name: array[rows] for name, array in self.host_arrays().items()}
        return TrackState(**taken, filters=self.filters.take(rows))

    def of_sources(self, sources: Iterable[int]) -> tuple[NDArray[np.intp], TrackState]:
        """The rows of the targets of these sources, and these targets with indices into `sources` as their sources."""
        numbered = {source: index for index, source in enumerate(sources)}
        rows = np.flatnonzero([int(source) in numbered for source in self.source])
        part = self.take(rows)
        return rows, part.replace(source=np.array([numbered[int(s)] for s in part.source], dtype=np.intp))

    def put(self, rows: NDArray[np.intp], part: TrackState) -> TrackState:
        """The state with the targets in `rows` replaced by `part`, which `take` returned and a step advanced."""
        if self._is_all(rows):
            return part
        changed = {}
        for name, array in self.host_arrays().items():
            changed[name] = array.copy()
            changed[name][rows] = getattr(part, name)
        return TrackState(**changed, filters=self.filters.put(rows, part.filters))

    @classmethod
    def concatenate(cls, parts: Sequence[TrackState], capacity: int | None = None) -> TrackState:
        """The targets of all parts, in order. The parts are consumed. capacity: see `Filters.extended`."""
        first, *others = parts
        arrays = {name: np.concatenate([part.host_arrays()[name] for part in parts]) for name in first.host_arrays()}
        return cls(**arrays, filters=first.filters.extended([other.filters for other in others], capacity))

    def boxes(self) -> list[Box]:
        """Target boxes, frame pixels."""
        corner = self.centre - (self.size - 1) / 2
        return [Box(*box) for box in np.concatenate([corner, self.size], axis=1).tolist()]

    def _is_all(self, rows: NDArray[np.intp]) -> bool:
        """Whether `rows` are all targets, in order."""
        return len(rows) == len(self) and (len(rows) == 1 or bool((rows[1:] > rows[:-1]).all()))  # no target twice

    def host_arrays(self) -> dict[str, NDArray[Any]]:
        """The host arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "filters"}
