"""Times of frames: a repeated or late frame is not shown to the tracker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from dcfnet.errors import TimestampError
from dcfnet.result import Box, Reason, Result, Status

LATEST = 1e12  # s: a larger number is a time in other units, for example nanoseconds
CLOCK_RESET = 1.0  # s: a larger step back is a new clock (a bag that starts again), not a late frame

Timestamps = float | Mapping[int, float] | None


class FrameTimes:
    """The time of the last accepted frame of each source, s, and the last result of each target, by id."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}
        self.results: dict[int, Result] = {}

    def unseen(self, given: Mapping[int, float]) -> dict[int, Reason]:
        """The sources whose frames must not be shown to the tracker, with the reason. Keeps the times of the others.

        given: {source: time}, checked.
        """
        if not given:
            return {}
        reasons = {source: self._reason(source, time) for source, time in given.items()}
        self._last.update({source: time for source, time in given.items() if reasons[source] is None})
        return {source: reason for source, reason in reasons.items() if reason is not None}

    def unseen_result(self, target: int, box: Box, reason: Reason) -> Result:
        """The result of a target in a frame that it does not see. A lost target stays lost. box: the present one."""
        self.results[target] = unseen_result(self.results.get(target), box, reason)
        return self.results[target]

    def forget(self, target: int, source: int | None) -> None:
        """Forgets a target, and the time of a source that has no target any more."""
        self.results.pop(target, None)
        if source is not None:
            self._last.pop(source, None)

    def copy(self) -> FrameTimes:
        """An independent copy."""
        twin = FrameTimes()
        twin._last, twin.results = dict(self._last), dict(self.results)
        return twin

    def _reason(self, source: int, time: float) -> Reason | None:
        step = time - self._last.get(source, -math.inf)
        if step == 0:
            return Reason.FROZEN_FRAME
        return Reason.OUT_OF_ORDER if -CLOCK_RESET <= step < 0 else None


def times_by_source(timestamps: Timestamps, sources: Iterable[int]) -> dict[int, float]:
    """The time of each frame, {source: s}. A single number is the time of all frames.

    Raises TimestampError for a value that is no finite number of seconds, and for a source without a frame.
    """
    if timestamps is None:
        return {}
    known = list(sources)
    given = timestamps if isinstance(timestamps, Mapping) else dict.fromkeys(known, timestamps)
    for source, time in given.items():
        if source not in known:
            raise TimestampError(f"timestamps has the source {source!r}, but frames has none for it: {known}")
        if not _is_time(time):
            raise TimestampError(
                f"timestamp {time!r} of source {source}: must be a finite number of seconds, at most {LATEST:g}; "
                "leave it out if the time is not known"
            )
    return {source: float(time) for source, time in given.items()}


def unseen_result(last: Result | None, box: Box, reason: Reason) -> Result:
    """The result of a frame that the tracker does not get. A lost target stays lost.

    last: the result of the frame before, None without one. box: the present one.
    """
    if last is None:
        return Result(box, 0.0, 0.0, 0.0, Status.UNCERTAIN, reason)
    status = Status.LOST if last.status is Status.LOST else Status.UNCERTAIN
    return replace(last, box=box, status=status, reason=reason)


def _is_time(value: object) -> bool:
    numbers = (int, float, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool) and abs(float(value)) <= LATEST
