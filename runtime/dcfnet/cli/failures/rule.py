"""When a failure starts, and when it is over."""

from __future__ import annotations

from enum import Enum

from dcfnet.result import Reason, Result, Status

# At 30 frames per second this is half a second. One frame is not enough: 3 of 100 good frames have a confidence below
# the default threshold (docs/confidence.md).
UNCERTAIN_FRAMES = 15
FOUND_FRAMES = 10  # a target that is found and lost again in turn is one failure


class Cause(Enum):
    """Why a failure is recorded."""

    LOST = "lost"  # the status is lost
    UNCERTAIN = "uncertain"  # the status is uncertain in UNCERTAIN_FRAMES frames in a row


class Episode:
    """A condition that starts and ends only after it has been true, or false, in several frames in a row.

    active: whether the episode goes on. since: the first of the frames that started or ended it, 0-based.
    """

    def __init__(self, frames_to_start: int, frames_to_end: int) -> None:
        self.active, self.since = False, 0
        self._needed = {False: frames_to_start, True: frames_to_end}
        self._run = 0  # frames in a row that contradict `active`

    def add(self, index: int, holds: bool) -> bool:
        """Adds a frame. holds: the condition is true in it. Returns whether an episode starts with this frame."""
        if holds == self.active:
            self._run = 0
            return False
        if self._run == 0:
            self.since = index
        self._run += 1
        if self._run < self._needed[self.active]:
            return False
        self.active, self._run = holds, 0
        return holds

    def begin(self) -> None:
        """Starts the episode now, if it has not started."""
        self.active, self._run = True, 0


class FailureRule:
    """Finds the frames in which failures start, from the status alone.

    A failure starts when the target becomes lost, or has been uncertain in UNCERTAIN_FRAMES frames in a row. It is over
    after FOUND_FRAMES frames in a row without its cause. A target that is uncertain after it was lost must be tracked
    again before this is a failure of its own. Frozen frames are ignored.
    """

    def __init__(self) -> None:
        self._lost = Episode(1, FOUND_FRAMES)
        self._uncertain = Episode(UNCERTAIN_FRAMES, FOUND_FRAMES)

    def add(self, index: int, result: Result) -> Cause | None:
        """Adds the result of frame `index`. Returns the cause if a failure starts with it."""
        if result.reason is Reason.FROZEN_FRAME:  # it repeats the result of the frame before
            return None
        lost_starts = self._lost.add(index, result.status is Status.LOST)
        uncertain_starts = self._uncertain.add(index, result.status is not Status.TRACKED)
        if lost_starts:
            self._uncertain.begin()
            return Cause.LOST
        return Cause.UNCERTAIN if uncertain_starts else None

    def end(self, cause: Cause) -> int | None:
        """The first frame after the failure of this cause that started last; None while the failure goes on."""
        episode = self._lost if cause is Cause.LOST else self._uncertain
        return None if episode.active else episode.since
