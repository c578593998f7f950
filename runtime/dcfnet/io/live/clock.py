"""Times of the frames of a live source."""

from __future__ import annotations

TRUSTED = 0.5  # s that the clock of a stream may differ from that of this computer, after its first frame
LEAST_STEP = 0.001  # s between two frames; the times of a live source always increase


class StreamClock:
    """Gives each frame its time, in seconds after the first frame. Times always increase.

    The steps are those of the stream's own clock. It starts at the arrival of the first frame of a connection. If it
    does not agree with the clock of this computer, the times are those of the arrival, until the next connection. Some
    streams have no clock: their time stamps then count frames of an assumed rate.
    """

    def __init__(self) -> None:
        self._start: float | None = None  # arrival of the first frame
        self._offset: float | None = None  # from the clock of the stream to that of this computer
        self._trusted = True
        self._last = 0.0

    def connected(self, has_clock: bool) -> None:
        """A new connection starts. has_clock: False if its time stamps are known to be wrong."""
        self._offset, self._trusted = None, has_clock

    def time(self, stamp: float | None, arrival: float) -> float:
        """The time of a frame. stamp: s, on the clock of the stream; None if it has none. arrival: `time.monotonic`."""
        if self._start is None:
            self._start = arrival
            self._offset = None if stamp is None else arrival - stamp
            return 0.0
        self._last = max(self._moment(stamp, arrival) - self._start, self._last + LEAST_STEP)
        return self._last

    def _moment(self, stamp: float | None, arrival: float) -> float:
        """The time of the frame on the clock of this computer."""
        if stamp is None or not self._trusted:
            return arrival
        if self._offset is None:
            self._offset = arrival - stamp
        moment = stamp + self._offset
        self._trusted = abs(moment - arrival) <= TRUSTED
        return moment if self._trusted else arrival
