"""Times of the messages of a bag."""

from __future__ import annotations

CLOCK_RESET = 1.0  # s: a larger step back is a new clock, as in `Tracker.update`


class HeaderClock:
    """Seconds after the first message, from the stamps in the headers. They never decrease.

    late: number of messages that are up to CLOCK_RESET older than one before them.
    """

    def __init__(self) -> None:
        self._newest: float | None = None
        self._time = 0.0
        self.late = 0

    def time(self, stamp: float) -> float:
        """The time of the next message. stamp: s."""
        step = 0.0 if self._newest is None else stamp - self._newest
        if -CLOCK_RESET <= step < 0:
            self.late += 1
            return self._time
        self._time += max(step, 0.0)
        self._newest = stamp
        return self._time
