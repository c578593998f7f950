"""The targets of a run: started, searched, corrected and ended, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dcfnet.cli.targets.births import BirthRule, DeathRule
from dcfnet.cli.targets.detections import Detections, usable
from dcfnet.cli.targets.duplicates import DuplicateRule
from dcfnet.cli.targets.starts import TargetStart
from dcfnet.errors import InvalidBoxError
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.lifecycle.timestamps import unseen_result
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import MultiTracker
from dcfnet.tracking.geometry import target_box
from dcfnet.tracking.status import rejected_results


@dataclass
class TargetPlan:
    """What a run does with targets. starts: targets whose box is known. detections: of a detector, by frame.

    births, deaths, duplicates: the rules; their defaults start no target and end none.
    """

    starts: Sequence[TargetStart] = ()
    detections: Detections = field(default_factory=dict)
    births: BirthRule = field(default_factory=lambda: BirthRule(0, 0.0))
    deaths: DeathRule = field(default_factory=lambda: DeathRule(0))
    duplicates: DuplicateRule = field(default_factory=lambda: DuplicateRule(0))


class RunTargets:
    """The present targets of a run, with the ids of the outputs.

    problems: the targets that could not start, one line each. started, ended: number of targets.
    """

    def __init__(self, tracker: MultiTracker, plan: TargetPlan) -> None:
        self._tracker, self._plan = tracker, plan
        self._starts = sorted(plan.starts, key=lambda start: start.frame)
        self._next_id = max((start.id for start in plan.starts), default=0) + 1
        self._ids: dict[int, int] = {}  # id in the tracker -> id in the outputs
        self._last: dict[int, Result | None] = {}  # id in the tracker -> result in the frame before
        self._born: list[Box] = []  # boxes in which targets start in the present frame
        self.problems: list[str] = []
        self.started = self.ended = 0

    def search(self, frame: Frame, index: int, time: float | None = None) -> list[TargetRow]:
        """The rows of a new frame: the targets are searched, then corrected with the detections of frame `index`.

        time: of the frame, s; see `Tracker.update`.
        Targets that were not tracked for too long, or follow the object of another target, end; this is their last row.
        """
        results = self._tracker.update(frame, time)
        found = usable(self._plan.detections.get(index, ()), frame_size(frame))
        if found:
            done = self._tracker.correct(frame, [detection.box for detection in found])
            results |= done.results
            present = [result.box for result in results.values() if result.status is not Status.LOST]
            present += [start.box for start in self._starts if start.frame <= index]
            self._born = self._plan.births.add([found[left] for left in done.left[0]], present)
        rows = self._rows(results)
        for target in {*self._plan.deaths.add(results.items()), *self._plan.duplicates.add(results)}:
            self._tracker.remove(target)
            del self._ids[target], self._last[target]
            self.ended += 1
        return rows

    def reject(self) -> list[TargetRow]:
        """The rows of a frame that could not be decoded: all targets are lost."""
        boxes = self._tracker.targets
        with_confidence = any(last is not None and last.confidence is not None for last in self._last.values())
        found = rejected_results(list(boxes.values()), [Reason.BAD_FRAME] * len(boxes), with_confidence)
        return self._rows(dict(zip(boxes, found, strict=True)))

    def repeat(self) -> list[TargetRow]:
        """The rows of a frame that equals the frame before. The tracker does not get it, so it is not learnt."""
        boxes = self._tracker.targets
        return self._rows(
            {target: unseen_result(self._last[target], box, Reason.FROZEN_FRAME) for target, box in boxes.items()}
        )

    def start(self, frame: Frame | None, index: int) -> list[TargetRow]:
        """The rows of the targets that start in frame `index`. frame: None if it could not be decoded.

        Raises InvalidBoxError in the first frame. Later, a target that cannot start is a problem of the run.
        """
        rows = []
        while self._starts and self._starts[0].frame <= index:
            start = self._starts.pop(0)
            try:
                if frame is None:
                    raise InvalidBoxError("the frame could not be decoded")
                rows.append(self._add(frame, start.box, start.id))
            except InvalidBoxError as error:
                if index == 0:
                    raise
                self.problems.append(f"target {start.id} could not start in frame {index}: {error}")
        born, self._born = self._born, []
        for box in born:  # after `search`, so the frame was decoded
            assert frame is not None
            with suppress(InvalidBoxError):  # without texture: not a target
                rows.append(self._add(frame, box, self._next_id))
                self._next_id += 1
        return rows

    def finish(self, frames: int) -> None:
        """Notes the targets and the detections that were not used because the source has only `frames` frames."""
        if self._plan.detections and min(self._plan.detections) >= frames:
            first = min(self._plan.detections) + 1
            self.problems.append(
                f"no box of the detector was used: the first one is of frame {first}, of {frames} frames"
            )
        for start in self._starts:
            self.problems.append(f"target {start.id} did not start: its frame is {start.frame}, of {frames} frames")

    def _rows(self, results: Mapping[int, Result]) -> list[TargetRow]:
        self._last.update(results)
        return [TargetRow(self._ids[target], result.box, result) for target, result in results.items()]

    def _add(self, frame: Frame, box: Box, target: int) -> TargetRow:
        box = target_box(box, frame_size(frame))
        own = self._tracker.add(frame, box)
        self._ids[own], self._last[own] = target, None
        self.started += 1
        return TargetRow(target, box, None)
