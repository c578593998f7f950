"""Tracker and MultiTracker: the public classes. They keep the state between frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np

from dcfnet.errors import CapacityError, ConfigError, NotInitialisedError, UnknownTargetError
from dcfnet.io.frame import Frame
from dcfnet.lifecycle.opening import ConfigLike, open_pipeline
from dcfnet.lifecycle.timestamps import FrameTimes, Timestamps, times_by_source
from dcfnet.lifecycle.tracker_lifecycle import TrackerLifecycle
from dcfnet.lifecycle.warm_up import warm_up
from dcfnet.result import Box, Correction, Corrections, Result
from dcfnet.tracking.correction.detector_boxes import Boxes
from dcfnet.tracking.frame_validation import Frames, frames_by_source, is_source
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init_target, step

MAX_CAPACITY = 2**16


class Tracker(TrackerLifecycle):
    """Follows one target. Trackers are independent of each other. Any thread may use any of them.

    A fork of the process cannot use the tracker: its calls raise DeviceError there, and `close` does nothing.
    `copy.copy` gives a second tracker with the same target. For another process, use `save` and `restore`.
    `with` closes the tracker at the end of the block.

    model: a file that dcfnet-export wrote, or the name of a shipped model: "deep" (the default) or "dcfnet" (the
    smallest; the native CUDA kernels run it).
    device: "cpu", "cuda" or "auto", see `open_backend`. "auto" is the CPU in two cases: the native kernels do not
    support the model, such as "deep", or the engine runs on the CPU only (docs/gpu.md).
    preset: the operating point, "accurate", "balanced" (the default) or "fast", as the model file defines it.
    config: a mapping of settings that change the preset. Without a preset it can also be a complete TrackerConfig, or
    the name of one: "paper", "released" or "default" (for the model "dcfnet").
    engine, threads: the library that runs the backbone, and its CPU threads; see `open_backbone`.
    Raises ModelError, ConfigError, MissingDependencyError and DeviceError.
    """

    KIND = "Tracker"

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        config: ConfigLike = None,
        *,
        engine: str = "auto",
        preset: str | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(open_pipeline(model, device, config, engine, preset, threads))

    @property
    def box(self) -> Box | None:
        """The target box after the last update, frame pixels; None before `init` and after `close`."""
        with self._pipeline.queue.exclusive():
            return next(iter(self._boxes()), None)

    def init(self, frame: Frame, box: Box | Sequence[float]) -> None:
        """Learns the target in `box` of the frame. A second call starts again with another target.

        frame: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W) grey; `Rgb` and `Nv12` wrap other formats. On a GPU also an
        array on that GPU with DLPack or a `__cuda_array_interface__`. box: x, y, w, h, frame pixels, 0-based.
        Raises InvalidFrameError and InvalidBoxError; the tracker then keeps its previous target.
        """
        with self._pipeline.queue.exclusive():
            self._replace_state(init_target(self._pipeline, frame, box))
            self._ids, self._next_id, self._times = [0], 1, FrameTimes()

    def warm_up(self) -> None:
        """Does work that would delay the first frame: first calls of the network, kernels, memory, graph capture.

        The present target is not affected. Raises DeviceError as `update` does.
        """
        with self._pipeline.queue.exclusive():
            warm_up(self._pipeline)

    def update(self, frame: Frame | None, timestamp: float | None = None) -> Result:
        """Finds the target in the next frame. For None or an invalid frame, the reason of the result names the problem.

        frame: as for `init`. timestamp: time of the frame, s, of any clock. Two kinds of frames are not searched: one
        with the time of the frame before (`frozen_frame`), and one that is up to 1 s older (`out_of_order`). The box
        then stays, and the filter is not updated. A step back of more than 1 s is the start of a new clock. Without
        timestamps every frame is searched.
        Raises errors of the calling program: NotInitialisedError before `init`, FrameTypeError for an argument that can
        never be a frame (a list, a path), TimestampError, and DeviceError in a fork. On a GPU it also raises
        DeviceError if the GPU fails or if another GPU is current.
        """
        with self._pipeline.queue.exclusive():
            return self._update(frame, timestamp)

    def update_async(self, frame: Frame | None, timestamp: float | None = None) -> Future[Result]:
        """Queues `update` and returns at once. `result()` of the returned future waits, and raises as `update` does.

        In a fork of the process it raises DeviceError at once.
        One thread of the pipeline processes the frames in order. All other methods wait until the queue is empty.
        Do not change a frame before its result is ready. The queue has no limit: wait for results to keep pace.
        """
        work = partial(self._update, frame, timestamp)
        return self._pipeline.queue.submit(self._pipeline.backend.thread_context(), work)

    def correct(self, frame: Frame, boxes: Boxes, weight: float = 1.0) -> Correction:
        """Moves the target to the detector box that fits it, if one does, and updates its filter (docs/detectors.md).

        frame: the frame of the detector, as for `init`. boxes: one box or several, each as for `init`. weight: of the
        detector box in position and size, in [0, 1]. It is always 1 for a target that had no confident detection, and
        for one that moves by more than its size.
        Raises NotInitialisedError, InvalidFrameError, InvalidBoxError and ConfigError; then nothing changes.
        """
        with self._pipeline.queue.exclusive():
            if self._state is None:
                raise NotInitialisedError("correct before init: call init(frame, box) with the target's first box")
            (target,), done = self._ids, self._correct({0: frame}, {0: boxes}, weight)
        return Correction(done.results.get(target), done.taken[target], done.left[0])

    def save(self, file: str | Path) -> None:
        """As `MultiTracker.save`. Also raises NotInitialisedError before `init`."""
        if self.box is None:
            raise NotInitialisedError("save before init: there is no target to save")
        super().save(file)

    def _shown_targets(self) -> str:
        state = self._state
        x, y, w, h = state.boxes()[0] if state else (0, 0, 0, 0)
        return f"box ({x:.1f}, {y:.1f}, {w:.1f}, {h:.1f})" if state else "no target"

    def _update(self, frame: Frame | None, timestamp: float | None) -> Result:
        if self._state is None:
            raise NotInitialisedError("update before init: call init(frame, box) with the target's first box")
        unseen = self._times.unseen(times_by_source(timestamp, [0]))
        if unseen:
            return next(iter(self._unseen_results(unseen).values()))
        with self._pipeline.backend.guarded():
            self._state, (result,) = step(self._pipeline, self._state, {0: frame})
        self._times.results[self._ids[0]] = result
        return result


class MultiTracker(TrackerLifecycle):
    """Follows many targets, in one camera or several, as one batch. Threads, forks and copies: as for `Tracker`.

    capacity: the largest number of targets. On a GPU, their memory is allocated at once. Without a capacity it grows.
    Other arguments as for `Tracker`.
    """

    KIND = "MultiTracker"

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        config: ConfigLike = None,
        *,
        engine: str = "auto",
        preset: str | None = None,
        threads: int | None = None,
        capacity: int | None = None,
    ) -> None:
        if capacity is not None and (not isinstance(capacity, int) or not 1 <= capacity <= MAX_CAPACITY):
            raise ConfigError(f"capacity={capacity!r}: must be a whole number from 1 to {MAX_CAPACITY}")
        super().__init__(open_pipeline(model, device, config, engine, preset, threads), capacity)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def targets(self) -> dict[int, Box]:
        """{id: target box after the last update}, frame pixels."""
        with self._pipeline.queue.exclusive():
            return dict(zip(self._ids, self._boxes(), strict=True))

    def add(self, frame: Frame, box: Box | Sequence[float], source: int = 0) -> int:
        """Learns another target and returns its id. An id is never used again.

        frame, box: as for `Tracker.init`. source: the camera of the frame, any whole number.
        Raises InvalidFrameError, InvalidBoxError, ConfigError, and CapacityError if all slots are in use; the other
        targets are not affected.
        """
        if not is_source(source):
            raise ConfigError(f"source={source!r}: must be a whole number, the key of its frame in update")
        with self._pipeline.queue.exclusive():
            if len(self) == self._capacity:
                raise CapacityError(f"all {len(self)} slots are in use; remove a target, or raise capacity")
            added = init_target(self._pipeline, frame, box).replace(source=np.array([source], dtype=np.intp))
            with self._pipeline.backend.guarded():
                parts = [added] if self._state is None else [self._state, added]
                self._state = TrackState.concatenate(parts, self._capacity)
            self._ids.append(self._next_id)
            self._next_id += 1
            return self._ids[-1]

    def remove(self, target: int) -> None:
        """Forgets a target. If its source has no other target, the time of the source is forgotten too.

        Raises UnknownTargetError for an id that is not tracked.
        """
        with self._pipeline.queue.exclusive():
            if target not in self._ids or self._state is None:
                raise UnknownTargetError(f"no target {target}; the ids are {self._ids}")
            kept = np.array([i for i, id_ in enumerate(self._ids) if id_ != target], dtype=np.intp)
            source = int(self._state.source[self._ids.index(target)])
            others = self._state.source[kept]
            if len(kept):
                self._state = self._state.take(kept)
            else:
                self._replace_state(None)
            self._ids.remove(target)
            self._times.forget(target, None if source in others else source)

    def warm_up(self) -> None:
        """As `Tracker.warm_up`, for `capacity` targets, or for one without a capacity."""
        with self._pipeline.queue.exclusive():
            warm_up(self._pipeline, self._capacity)

    def update(self, frames: Frames, timestamps: Timestamps = None) -> dict[int, Result]:
        """Finds the targets in the next frames: {id: result}. Raises errors as `Tracker.update`.

        frames: {source: frame}, or one frame, which is the frame of source 0. Targets of a source without a frame do
        not change and have no result, so cameras may run at different rates. Keys that are not whole numbers raise
        FrameTypeError. timestamps: {source: time}, or the time of all frames, as for `Tracker.update`.
        """
        with self._pipeline.queue.exclusive():
            return self._update(frames, timestamps)

    def update_async(self, frames: Frames, timestamps: Timestamps = None) -> Future[dict[int, Result]]:
        """As `Tracker.update_async`. A mapping is copied, its frames are not."""
        given = dict(frames) if isinstance(frames, Mapping) else frames
        work = partial(self._update, given, timestamps)
        return self._pipeline.queue.submit(self._pipeline.backend.thread_context(), work)

    def correct(self, frames: Frames, boxes: Boxes | Mapping[int, Boxes], weight: float = 1.0) -> Corrections:
        """As `Tracker.correct`, for all targets of the sources that have boxes. Each box goes to at most one target.

        frames: as for `update`. boxes: {source: boxes}, or the boxes of source 0. Also raises MissingDependencyError
        for several targets and several boxes in one source, without the extra `detector`.
        """
        return self._correct(frames, boxes, weight)

    def _update(self, frames: Frames, timestamps: Timestamps) -> dict[int, Result]:
        given = frames_by_source(frames)
        if not (unseen := self._times.unseen(times_by_source(timestamps, given))):  # nearly always
            return self._search(given)
        results = self._unseen_results(unseen) | self._search({k: f for k, f in given.items() if k not in unseen})
        return {target: results[target] for target in self._ids if target in results}
