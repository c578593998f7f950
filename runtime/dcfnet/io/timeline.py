"""The frames of a decoder on one line of time: holes are filled with frames without pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcfnet.io.decoding import Decoded
from dcfnet.io.source_frame import SourceFrame

REGULAR = 0.25  # of the frame interval; a time stamp in whole milliseconds differs by less
HOLE = 1.5  # frame intervals without a frame, after an error
LONGEST_HOLE = 60.0  # s; a longer gap after an error is a wrong time stamp
UNDECODED, DAMAGED = "could not be decoded", "is damaged"


class Timeline:
    """Orders the answers of a decoder and computes their times.

    Times start at 0 and never decrease. After a jump back, as where two recordings are joined, the time goes on. After
    an error, a gap in time is filled with frames without pixels, so that frame numbers stay those of the recording.
    """

    def __init__(self, fps: float) -> None:
        """fps: nominal frames per second, above 0."""
        self._interval = 1 / fps
        self._offset: float | None = None  # time of the container at time 0
        self.end = -self._interval  # time of the newest frame
        self._regular = True  # all frames before the first error were one interval apart
        self._damaged = False  # there was an error somewhere
        self._errors: list[str] = []  # since the last frame
        self.strays = 0  # frames far behind their place, which a decoder can return after damage

    def arrange(self, answers: Iterable[Decoded]) -> Iterator[SourceFrame]:
        """The frames in order."""
        held: Decoded | None = None  # it jumps back; the next one tells why
        for answer in answers:
            if answer.pixels is None:
                self._errors.append(answer.error)
                self._damaged = True
                continue
            if held is not None:
                yield from self._after_jump_back(held, answer)
                held = None
            if self._damaged and self._jumps_back(answer):
                held = answer
            else:
                yield from self._place(answer)
        if held is not None:
            self.strays += 1
        yield from self._missing(len(self._errors))

    def _after_jump_back(self, held: Decoded, following: Decoded) -> Iterator[SourceFrame]:
        """A frame that jumped back is a stray if the next one does not follow it."""
        if self._jumps_back(following):
            yield from self._place(held)
        else:
            self.strays += 1

    def _jumps_back(self, answer: Decoded) -> bool:
        return answer.time is not None and self._offset is not None and answer.time - self._offset <= self.end

    def _place(self, answer: Decoded) -> Iterator[SourceFrame]:
        expected = self.end + self._interval
        time = self._time(answer.time, expected)
        steps = (time - self.end) / self._interval
        if not self._damaged:
            self._regular = self._regular and abs(steps - 1) < REGULAR
        wrong_clock = answer.time is None or time - self.end > LONGEST_HOLE
        if self._errors and wrong_clock:
            yield from self._missing(len(self._errors))
            time = self.end + self._interval
            self._offset = None if answer.time is None else answer.time - time
        elif steps > HOLE and (self._errors or (self._damaged and self._regular)):
            yield from self._missing(round(steps) - 1)
        self._errors.clear()
        self.end = time
        self._damaged = self._damaged or answer.damaged
        yield SourceFrame(answer.pixels, time, DAMAGED if answer.damaged else "")

    def _time(self, given: float | None, expected: float) -> float:
        """Seconds after the first frame. Without a usable time stamp, one interval after the frame before."""
        if given is None:
            return expected
        if self._offset is None or given - self._offset <= self.end:
            self._offset = given - expected
        return given - self._offset

    def _missing(self, count: int) -> Iterator[SourceFrame]:
        """Frames without pixels, one interval apart."""
        for _ in range(count):
            self.end += self._interval
            yield SourceFrame(None, self.end, UNDECODED)
