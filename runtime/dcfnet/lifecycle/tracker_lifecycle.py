"""The life of a tracker: its state, copies, state files and end. The base class of both trackers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import TrackerConfig
from dcfnet.errors import NotInitialisedError
from dcfnet.io.files import write_atomically
from dcfnet.io.frame import Frame
from dcfnet.lifecycle.timestamps import FrameTimes
from dcfnet.result import Box, Corrections, Reason, Result
from dcfnet.tracking.correction.detector_boxes import Boxes
from dcfnet.tracking.correction.moving import correct
from dcfnet.tracking.frame_validation import Frames
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import centred_responses, step

T = TypeVar("T", bound="TrackerLifecycle")


class TrackerLifecycle:
    """A pipeline, which trackers may share, and the state of its targets.

    Any thread may call any method; calls of all trackers on one pipeline run one at a time. A fork of the process
    cannot use the tracker: all methods but `close` then raise DeviceError. `copy.copy` and `copy.deepcopy` give an
    independent tracker on the same pipeline. A tracker cannot be pickled. `with` closes it at the end of the block.
    """

    KIND: ClassVar[str]  # the class of the tracker, for state files

    def __init__(self, pipeline: Pipeline, capacity: int | None = None) -> None:
        """capacity: the largest number of targets."""
        self._pipeline, self._capacity = pipeline, capacity
        self._state: TrackState | None = None
        self._ids: list[int] = []  # id of every row of the state
        self._next_id = 0
        self._times = FrameTimes()

    @classmethod
    def of(cls: type[T], pipeline: Pipeline) -> T:
        """A tracker on an existing pipeline. Several trackers may share one; their calls run one at a time."""
        tracker = cls.__new__(cls)
        TrackerLifecycle.__init__(tracker, pipeline)
        return tracker

    @property
    def config(self) -> TrackerConfig:
        """The constants in use."""
        return self._pipeline.config

    def response_maps(self, frame: Frame) -> NDArray[np.float32]:
        """Response maps of all targets in one frame: float32 (N, 64, 64). For diagnosis: no target changes.

        A map covers the search region around the present box at scale 1. Pixel [32, 32] is the centre of the box, and 1
        is the peak of the label. The response of the colours is not in the map. The call takes the time of a search
        pass. For a target that was just reported as lost with `low_psr` or `unlike`, the map is that of the first
        search pass.
        Raises NotInitialisedError without a target, InvalidFrameError, and DeviceError as `update` does.
        """
        with self._pipeline.queue.exclusive(), self._pipeline.backend.guarded():
            if self._state is None:
                raise NotInitialisedError("response_maps before init: there is no target; call init(frame, box) first")
            return centred_responses(self._pipeline, self._state, frame)

    def save(self, file: str | Path) -> None:
        """Writes all targets to a safetensors file, completely or not at all. `restore` continues from it.

        The file contains no frame and no model. Raises SinkError, and MissingDependencyError without the extra `state`.
        """
        from dcfnet.lifecycle.state_file import SavedTargets, state_bytes

        with self._pipeline.queue.exclusive(), self._pipeline.backend.guarded():
            targets = SavedTargets(self._ids, self._next_id, self._state)
            content = state_bytes(self._pipeline, self.KIND, targets)
        write_atomically(content, Path(file))

    def restore(self, file: str | Path) -> None:
        """Replaces all targets by those in a file that `save` wrote, on this or on another device.

        The tracker must have the same class, model and config. On the same backend the next results are bit for bit
        those of the tracker that was saved. Raises StateError with the difference and the remedy, CapacityError, and
        MissingDependencyError without the extra `state`; the tracker then keeps its targets.
        """
        from dcfnet.lifecycle.state_file import read_state

        with self._pipeline.queue.exclusive():
            saved = read_state(Path(file), self._pipeline, self.KIND, self._capacity)
            self._replace_state(saved.state)
            self._ids, self._next_id = saved.ids, max(saved.next_id, self._next_id)
            self._times = FrameTimes()

    def close(self) -> None:
        """Forgets all targets. Their slots on the GPU are free for others at once. The tracker can be used again.

        The GPU memory itself is freed when this tracker and all others of its pipeline are deleted. In a fork of the
        process it does nothing.
        """
        if self._pipeline.queue.forked:
            return
        with self._pipeline.queue.exclusive():
            self._replace_state(None)
            self._ids, self._times = [], FrameTimes()

    def _correct(self, frames: Frames, boxes: Boxes | Mapping[int, Boxes], weight: float) -> Corrections:
        """See `MultiTracker.correct`."""
        with self._pipeline.queue.exclusive(), self._pipeline.backend.guarded():
            self._state, corrections = correct(self._pipeline, self._state, self._ids, frames, boxes, weight)
        self._times.results.update(corrections.results)
        return corrections

    def _search(self, shown: Mapping[int, Frame | None]) -> dict[int, Result]:
        """The results of the targets whose sources have a frame, by id. The caller has exclusive use."""
        state = self._state
        if state is None:
            return {}
        with self._pipeline.backend.guarded():
            if state.has_own_frames(shown):  # nearly always
                self._state, found = step(self._pipeline, state, shown)
                results = dict(zip(self._ids, found, strict=True))
                self._times.results = results.copy()  # in a tenth of the time of `update`
                return results
            rows, batch = state.of_sources(shown)
            if not len(rows):
                return {}
            after, found = step(self._pipeline, batch, shown)
            self._state = state.put(rows, after)
        results = {self._ids[row]: result for row, result in zip(rows.tolist(), found, strict=True)}
        self._times.results.update(results)
        return results

    def _unseen_results(self, unseen: Mapping[int, Reason]) -> dict[int, Result]:
        """The results of the targets whose frames are not shown to them, by id. unseen: {source: reason}."""
        if not unseen or self._state is None:
            return {}
        rows = zip(self._ids, self._state.source.tolist(), self._boxes(), strict=True)
        return {
            target: self._times.unseen_result(target, box, unseen[source])
            for target, source, box in rows
            if source in unseen
        }

    def _boxes(self) -> list[Box]:
        """The present box of every target, frame pixels. The caller has exclusive use."""
        return [] if self._state is None else self._state.boxes()

    def _replace_state(self, state: TrackState | None) -> None:
        """Sets the state, and releases the device memory of the previous one."""
        before, self._state = self._state, state
        if before is not None:
            before.filters.release()

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __copy__(self: T) -> T:
        twin = type(self).__new__(type(self))
        backend = self._pipeline.backend
        with self._pipeline.queue.exclusive(), backend.guarded():
            vars(twin).update(vars(self), _ids=list(self._ids), _times=self._times.copy(), _state=None)
            if self._state is not None:
                twin._state = self._state.copy(backend, self._pipeline, self._capacity)
        return twin

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled, because it owns a network, threads and device memory; write "
            "its state with save(file), make a tracker in the other process, and call restore(file)"
        )

    def __repr__(self) -> str:
        """Does not wait for calls that run."""
        model = self._pipeline.model.name or "own backbone"
        return f"<{type(self).__name__}, {model} on {self._pipeline.backend.name}, {self._shown_targets()}>"

    def _shown_targets(self) -> str:
        return f"{len(self._ids)} targets"
