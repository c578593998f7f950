"""The rules of the node: which frame a box belongs to, and when targets start and end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dcfnet.cli.targets.births import BirthRule, DeathRule
from dcfnet.cli.targets.detections import Detection, usable
from dcfnet.cli.targets.duplicates import DuplicateRule
from dcfnet.errors import InvalidBoxError
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.result import Result, Status
from dcfnet.tracker import MultiTracker

WAITING = 10  # messages with boxes of frames that have not arrived yet
SECOND = 1e9  # ns


@dataclass
class Counts:
    """What happened since the start. unused: messages with boxes whose frame is no longer kept, or never came."""

    frames: int = 0
    corrections: int = 0
    unused: int = 0
    started: int = 0
    ended: int = 0


class Follower:
    """The targets of one camera. Stamps are the times of image headers, ns; they name the frames."""

    def __init__(
        self, tracker: MultiTracker, births: BirthRule, deaths: int, max_targets: int, kept_frames: int
    ) -> None:
        """deaths: see `DeathRule` and `DuplicateRule`. kept_frames: newest frames for which boxes may come late."""
        self._tracker, self._births, self._max_targets = tracker, births, max_targets
        self._deaths, self._duplicates = DeathRule(deaths), DuplicateRule(deaths)
        self._frames: deque[tuple[int, Frame]] = deque(maxlen=kept_frames)
        self._waiting: deque[tuple[int, Sequence[Detection]]] = deque(maxlen=WAITING)
        self._last: dict[int, Result | None] = dict.fromkeys(tracker.targets)  # id in the tracker -> newest result
        self.counts = Counts()

    def image(self, frame: Frame, stamp: int) -> list[TargetRow]:
        """Searches all targets in the next frame. A frame that is not newer than the one before is not searched.

        Boxes of this frame that arrived before it are used after the search. Targets end at the next frame, because
        boxes of this one may still arrive.
        """
        self._end_targets()
        results = self._tracker.update(frame, stamp / SECOND)
        self._last.update(results)
        self.counts.frames += 1
        self._frames.append((stamp, frame))
        rows = [TargetRow(target + 1, result.box, result) for target, result in results.items()]
        for waiting in [entry for entry in self._waiting if entry[0] <= stamp]:
            self._waiting.remove(waiting)
            self.boxes(waiting[1], waiting[0])
        return rows

    def boxes(self, found: Sequence[Detection], stamp: int) -> None:
        """Targets take these boxes; the others start targets, by the rule of births.

        stamp: of the image in which they were found. 0: the newest one. Boxes of a frame that has not arrived yet wait.
        """
        if self._frames and stamp == 0:
            stamp = self._frames[-1][0]
        frame = next((frame for time, frame in reversed(self._frames) if time == stamp), None)
        if frame is not None:
            self._use(frame, usable(found, frame_size(frame)))
        elif not self._frames or stamp > self._frames[-1][0]:
            self.counts.unused += len(self._waiting) == WAITING  # the oldest one is forgotten
            self._waiting.append((stamp, found))
        else:
            self.counts.unused += 1

    def reset(self) -> int:
        """Forgets all targets. Returns their number."""
        count = len(self._tracker)
        self._tracker.close()
        self._last.clear()
        self._waiting.clear()
        self._births.reset()
        return count

    def save(self, file: str) -> None:
        """Writes all targets to a state file. Raises SinkError and MissingDependencyError."""
        self._tracker.save(Path(file))

    def statuses(self) -> dict[str, int]:
        """Number of targets with each status in the newest frame. A target that has just started is tracked."""
        counts = dict.fromkeys((status.value for status in Status), 0)
        for result in self._last.values():
            counts[(result.status if result else Status.TRACKED).value] += 1
        return counts

    def _end_targets(self) -> None:
        results = {target: last for target, last in self._last.items() if last is not None}
        for target in {*self._deaths.add(results.items()), *self._duplicates.add(results)}:
            self._tracker.remove(target)
            del self._last[target]
            self.counts.ended += 1

    def _use(self, frame: Frame, found: Sequence[Detection]) -> None:
        if not found:
            return
        done = self._tracker.correct(frame, [detection.box for detection in found])
        self._last.update(done.results)
        self.counts.corrections += len(done.results)
        seen = [target for target, last in self._last.items() if last is None or last.status is not Status.LOST]
        boxes = self._tracker.targets
        for box in self._births.add([found[index] for index in done.left[0]], [boxes[target] for target in seen]):
            if len(self._tracker) < self._max_targets:
                with suppress(InvalidBoxError):  # a region without texture is no target
                    self._last[self._tracker.add(frame, box)] = None
                    self.counts.started += 1
