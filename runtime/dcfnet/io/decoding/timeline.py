"""The frames of a decoder on one line of time: holes are filled with frames without pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcfnet.io.decoding.decoder import Decoded
from dcfnet.io.source_frame import SourceFrame

HOLE = 1.5  # frame intervals without a frame, after an error
REGULAR = 0.25  # of the frame interval; a time stamp in whole milliseconds differs by less
DELAY = 32  # frames that a decoder with threads can return between an error and the hole
LONGEST_HOLE = 60.0  # s; a longer gap after an error is a wrong time stamp
JITTER = 3.0  # frame intervals that a time stamp may jump back; more is the start of another recording
UNDECODED, DAMAGED = "could not be decoded", "is damaged"


class Timeline:
    """Orders the answers of a decoder and computes their times.

    Times start at 0 and never decrease. After a jump back, as where two recordings are joined, the time goes on. Frames
    that were lost by damage become frames without pixels, so that frame numbers stay those of the recording.
    """

    def __init__(self, fps: float) -> None:
        """fps: nominal frames per second, above 0."""
        self._interval = 1 / fps
        self._offset: float | None = None  # time of the container at time 0
        self.end = -self._interval  # time of the newest frame
        self._regular = True  # all frames before the first error were one interval apart
        self._damaged = False  # there was an error somewhere
        self._errors = 0  # since the last frame
        self._since_error = DELAY + 1  # frames
        self.strays = 0  # frames far behind their place, which a decoder can return after damage

    def arrange(self, answers: Iterable[Decoded]) -> Iterator[SourceFrame]:
        """The frames in order."""
        held: Decoded | None = None  # it jumps back; the next one tells why
        for answer in answers:
            if answer.pixels is None:
                self._errors += 1
                self._damaged = True
                self._since_error = 0
                continue
            if held is not None:
                yield from self._after_jump_back(held, answer)
                held = None
            if self._damaged and self._jumps_back(answer):
                held = answer
            else:
                yield from self._place(answer)
        self.strays += held is not None
        yield from self._missing(self._errors, self._interval)

    def _after_jump_back(self, held: Decoded, following: Decoded) -> Iterator[SourceFrame]:
        """A frame that jumped back is a stray if the next one does not follow it."""
        if self._jumps_back(following):
            yield from self._place(held)
        else:
            self.strays += 1

    def _jumps_back(self, answer: Decoded) -> bool:
        return answer.time is not None and self._offset is not None and answer.time - self._offset <= self.end

    def _place(self, answer: Decoded) -> Iterator[SourceFrame]:
        time = self._time(answer.time)
        steps = (time - self.end) / self._interval
        if self._errors and (answer.time is None or time - self.end > LONGEST_HOLE):
            yield from self._missing(self._errors, self._interval)
            time = self.end + self._interval
            self._offset = None if answer.time is None else answer.time - time
        elif lost := self._lost(answer, steps):
            yield from self._missing(lost, (time - self.end) / (lost + 1))
        self._regular = self._regular and (self._damaged or abs(steps - 1) < REGULAR)
        self._damaged = self._damaged or answer.damaged
        self._errors = 0
        self._since_error = 0 if answer.damaged else self._since_error + 1
        self.end = time
        yield SourceFrame(answer.pixels, time, DAMAGED if answer.damaged else "")

    def _lost(self, answer: Decoded, steps: float) -> int:
        """Number of frames that damage took before this one. steps: its distance to the last one, in intervals.

        In a video of constant rate each interval is a frame. In one of variable rate a gap need not be a hole.
        """
        at_most = max(round(steps) - 1, 0) if steps > HOLE else 0
        if self._since_error > DELAY or steps * self._interval > LONGEST_HOLE:
            return 0
        if self._regular:
            return at_most
        if answer.skipped is not None:
            return min(answer.skipped, at_most)
        return at_most if self._errors else 0

    def _time(self, given: float | None) -> float:
        """Seconds after the first frame. Without a usable time stamp, one interval after the frame before."""
        expected = self.end + self._interval
        if given is None:
            return expected
        if self._offset is None or given - self._offset < self.end - JITTER * self._interval:
            self._offset = given - expected
        return max(given - self._offset, self.end)

    def _missing(self, count: int, interval: float) -> Iterator[SourceFrame]:
        """Frames without pixels, one interval apart."""
        for _ in range(count):
            self.end += interval
            yield SourceFrame(None, self.end, UNDECODED)
