"""The state of N targets between two frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Backend, Pairs
from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms
from dcfnet.devices.records import TARGET, Targets, copied, put, raw, taken
from dcfnet.result import Box
from dcfnet.tracking.geometry import turned_size

MAX_SOURCE = 2**31 - 1  # largest index of a camera; it fits into 32 bits
FIELDS = TARGET.names or ()
Number = TypeVar("Number", bound=np.generic)


class _Column(Generic[Number]):
    """A field of all targets, as an array of `TrackState.targets`."""

    def __set_name__(self, owner: type, name: str) -> None:
        assert name in FIELDS, name
        self._name = name

    def __get__(self, state: TrackState, owner: type) -> NDArray[Number]:
        column: NDArray[Number] = state.targets[self._name]
        return column


@dataclass(frozen=True)
class TrackState:
    """N targets. The target axis comes first in every array.

    targets: the records of the targets, TARGET (N,), host. filters: on the backend.
    Fields of the records, float64, frame pixels: centre (N, 2), size (N, 2), initial_size (N, 2), frame_size (N, 2),
    each (x, y) or (width, height). initial_size: of the first box or of the last correction; the size keeps its aspect
    ratio.
    size_limits (N, 2): see `geometry.size_limits`. source (N,): index of each target's frame.
    updates (N,): number of frames in which the target was searched for.
    confident_centre, confident_size (N, 2): from the last frame with a confident detection. typical (N, 3): running
    means of the peak-to-sidelobe ratio, the peak value and the likeness in such frames, 0 before the first one.
    level (N,): grey level around the target in the last such frame, times its light; 0 if unknown. light (N,): factor
    of the levels of pixels, see `light.py`. angle (N,): radians in [-pi, pi], by which the target has turned clockwise,
    see `rotation.py`. size_angle (N,): the angle at the first box or the last correction: `size` is of a box that is
    upright there. frames_since_confident (N,): number of frames after the last one.
    occluded_frames (N,): number of frames, up to the last one, in which the target was occluded without a break.
    doubtful_frames (N,): the same for frames in which the confidence was below `lost_confidence`.
    sure_centre, sure_size (N, 2), sure_response (N, 3): as confident_centre, confident_size and typical, but of frames
    with a high confidence, see `redetection/first_filter.py`. Only these settings keep them that search with it.
    candidate_centre (N, 2), candidate_frames (N,): where a doubtful target perhaps is, and in how many frames in
    a row. positions_searched (N,): number of positions that were searched with the first filter since it is doubtful.
    skipped (N,): number of redetection positions after the last confident detection that there was no time for.
    turn_side (N,): side to which the target last turned or seemed to turn, 1 is clockwise; 0 if it does not turn.
    turn_frames (N,): number of frames in which the search for a turning target goes on, see `rotation.py`.
    view (N, VIEW_SIDE, VIEW_SIDE): uint8, mean grey levels of the cells of the last frame in which the target was
    searched for, see `redetection/camera_cuts.py`; 0 if unknown.

    scenes: uint8 (N, SCENE_SIDE, SCENE_SIDE), host, small grey pictures of the last frame in which each target was
    searched for, see `camera_motion/scenes.py`; 0 if unknown. (N, 0, 0) without `camera_motion`. They are not in the
    records, which a device gets in every frame.
    """

    targets: Targets
    filters: Filters
    scenes: NDArray[np.uint8]

    centre = _Column[np.float64]()
    size = _Column[np.float64]()
    initial_size = _Column[np.float64]()
    frame_size = _Column[np.float64]()
    size_limits = _Column[np.float64]()
    source = _Column[np.intp]()
    updates = _Column[np.intp]()
    confident_centre = _Column[np.float64]()
    confident_size = _Column[np.float64]()
    typical = _Column[np.float64]()
    level = _Column[np.float64]()
    light = _Column[np.float64]()
    angle = _Column[np.float64]()
    size_angle = _Column[np.float64]()
    frames_since_confident = _Column[np.intp]()
    occluded_frames = _Column[np.intp]()
    doubtful_frames = _Column[np.intp]()
    sure_centre = _Column[np.float64]()
    sure_size = _Column[np.float64]()
    sure_response = _Column[np.float64]()
    candidate_centre = _Column[np.float64]()
    candidate_frames = _Column[np.intp]()
    positions_searched = _Column[np.intp]()
    skipped = _Column[np.intp]()
    turn_side = _Column[np.intp]()
    turn_frames = _Column[np.intp]()
    view = _Column[np.uint8]()

    @classmethod
    def initial(
        cls,
        centre: Pairs,
        size: Pairs,
        frame_size: Pairs,
        size_limits: Pairs,
        source: NDArray[np.intp],
        filters: Filters,
        scenes: NDArray[np.uint8],
    ) -> TrackState:
        """The state of targets in their first frame."""
        state = cls(np.zeros(len(centre), TARGET), filters, scenes)
        sizes = dict.fromkeys(("size", "initial_size", "confident_size", "sure_size"), size)
        centres = dict.fromkeys(("centre", "confident_centre", "sure_centre"), centre)
        frames = {"frame_size": frame_size, "size_limits": size_limits, "source": source}
        return state.replace(**sizes, **centres, **frames, light=np.ones(len(centre)))

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
        assert arrays.keys() == {*FIELDS, "scenes"}, arrays.keys()
        state = cls(np.zeros(len(filters), TARGET), backend.store_filters(programs, filters), arrays["scenes"])
        return cls.concatenate([state.replace(**arrays)], capacity)

    def copy(self, backend: Backend, programs: FramePrograms, capacity: int | None = None) -> TrackState:
        """A state that shares no memory with this one; other arguments as for `stored`."""
        filters = {name: array.copy() for name, array in self.filters.arrays.by_name().items()}
        return TrackState.stored(backend, programs, self.host_arrays(), ArrayFilters(**filters), capacity)

    def __len__(self) -> int:
        return len(self.targets)

    def replace(self, **changes: Any) -> TrackState:
        """A copy with some fields of the records, the filters or the scenes replaced."""
        targets, filters = self.targets, changes.pop("filters", self.filters)
        scenes = changes.pop("scenes", self.scenes)
        if changes:
            targets = copied(targets)
            for name, values in changes.items():
                targets[name] = values
        return TrackState(targets, filters, scenes)

    def take(self, rows: NDArray[np.intp]) -> TrackState:
        """The targets in `rows`; the state itself if these are all targets, in order."""
        if self._is_all(rows):
            return self
        return TrackState(taken(self.targets, rows), self.filters.take(rows), self.scenes[rows])

    @cached_property
    def own_sources(self) -> Mapping[int, int]:
        """The sources of the targets, as {source: source}."""
        return {source: source for source in self.source.tolist()}

    def with_targets(self, targets: Targets) -> TrackState:
        """The state with other records of the same targets, of the same sources."""
        state = object.__new__(TrackState)  # the constructor of a frozen class takes three times as long
        fields = {"targets": targets, "filters": self.filters, "scenes": self.scenes}
        vars(state).update(fields, own_sources=self.own_sources)  # the sources are found once for many frames
        return state

    def has_own_frames(self, frames: Mapping[int, Any]) -> bool:
        """Whether each target has a frame. frames: by their source."""
        return self.own_sources.keys() <= frames.keys()

    def of_sources(self, frames: Mapping[int, Any]) -> tuple[NDArray[np.intp], TrackState]:
        """The rows of the targets that have a frame, and these targets; the state itself if all have one."""
        if self.has_own_frames(frames):
            return np.arange(len(self)), self
        rows = np.flatnonzero([source in frames for source in self.source.tolist()])
        return rows, self.take(rows)

    def put(self, rows: NDArray[np.intp], part: TrackState) -> TrackState:
        """The state with the targets in `rows` replaced by `part`, which `take` returned and a step advanced."""
        if self._is_all(rows):
            return part
        targets = copied(self.targets)
        put(targets, rows, part.targets)
        scenes = self.scenes.copy()
        scenes[rows] = part.scenes
        return TrackState(targets, self.filters.put(rows, part.filters), scenes)

    @classmethod
    def concatenate(cls, parts: Sequence[TrackState], capacity: int | None = None) -> TrackState:
        """The targets of all parts, in order. The parts are consumed. capacity: see `Filters.extended`."""
        first, *others = parts
        targets = np.concatenate([raw(part.targets) for part in parts]).view(TARGET)
        scenes = np.concatenate([part.scenes for part in parts])
        return cls(targets, first.filters.extended([other.filters for other in others], capacity), scenes)

    def boxes(self) -> list[Box]:
        """Target boxes, frame pixels: upright boxes around turned targets."""
        size = self.box_size()
        corner = self.centre - (size - 1) / 2
        return [Box(*box) for box in np.concatenate([corner, size], axis=1).tolist()]

    def box_size(self) -> Pairs:
        """Width and height of the boxes, (N, 2)."""
        return turned_size(self.size, self.angle - self.size_angle)

    def _is_all(self, rows: NDArray[np.intp]) -> bool:
        """Whether `rows` are all targets, in order."""
        return len(rows) == len(self) and (len(rows) == 1 or bool((rows[1:] > rows[:-1]).all()))  # no target twice

    def host_arrays(self) -> dict[str, NDArray[Any]]:
        """The fields of the records, and the scenes, by name."""
        return {**{name: self.targets[name] for name in FIELDS}, "scenes": self.scenes}
