"""What a source yields: frames with their times, and a report of what was wrong with them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dcfnet.io.frame import Frame

PROBE_STEP = 16  # rows and columns between the pixels that are compared first; most frames differ there


class Delay(NamedTuple):
    """How late a frame of a live source is.

    arrival: `time.monotonic` when this computer had read it, s. skipped: number of frames before it that arrived and
    were left out. gap: seconds without a frame before it, because the source stalled or the connection was lost. age:
    seconds from the arrival to the result; 0 before there is one.
    """

    arrival: float
    skipped: int = 0
    gap: float = 0.0
    age: float = 0.0


class Header(NamedTuple):
    """The header of a ROS message. sec, nanosec, frame_id: as in std_msgs. recorded: its time in the bag, ns."""

    sec: int
    nanosec: int
    frame_id: str
    recorded: int

    @property
    def seconds(self) -> float:
        """The time of the image, s; that of its recording if the header has none."""
        return self.sec + self.nanosec / 1e9 if self.sec or self.nanosec else self.recorded / 1e9


class SourceFrame(NamedTuple):
    """One frame of a source.

    pixels: uint8 (H, W, 3) BGR; None if the frame could not be decoded. time: seconds after the first frame; it never
    decreases. problem: why the pixels are missing or damaged; "" if they are complete. frozen: the pixels equal those
    of the frame before, bit for bit. A frozen frame contains no new information, so no filter may be updated on it.
    delay: of a live source; None for any other. header: of an image of a bag; None for any other.
    """

    pixels: Frame | None
    time: float
    problem: str = ""
    frozen: bool = False
    delay: Delay | None = None
    header: Header | None = None

    @property
    def stamp(self) -> float | None:
        """The time for the tracker, s; see `Tracker.update`. None if the time is only computed."""
        if self.header is not None:
            return self.header.seconds
        return None if self.delay is None else self.time

    def answered(self) -> SourceFrame:
        """The frame, with its age at this moment. The result of the frame is ready."""
        if self.delay is None:
            return self
        return self._replace(delay=self.delay._replace(age=time.monotonic() - self.delay.arrival))


@dataclass
class SourceReport:
    """What reading a source showed. It grows while the frames are read.

    notes: facts that the user must know, but that lose no frame. problems: losses; after them the results are partial.
    stored: how the pixels are stored, for example "h264 video, yuv420p"; "" if unknown. decoder: the library that
    decodes a video; "" for images. died: why a live source ended; "" while it runs, and for any other source.
    """

    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stored: str = ""
    decoder: str = ""
    died: str = ""


@dataclass(frozen=True)
class FrameSource:
    """An opened source. Iteration reads its frames once.

    name: without passwords. fps: frames per second, for a written video. length: number of frames as the container
    claims it, which may be wrong; None if it is unknown. live: a camera or a stream, which is never read ahead.
    """

    name: str
    fps: float
    length: int | None
    frames: Iterator[SourceFrame]
    report: SourceReport = field(default_factory=SourceReport)
    live: bool = False

    def __iter__(self) -> Iterator[SourceFrame]:
        return mark_frozen(self.frames)

    def close(self) -> None:
        """Ends reading. A live source ends its thread, and releases the camera."""
        if isinstance(self.frames, Generator):
            self.frames.close()


def mark_frozen(frames: Iterable[SourceFrame]) -> Iterator[SourceFrame]:
    """The frames, with `frozen` set where the pixels equal those of the last decoded frame bit for bit."""
    last: Frame | None = None
    for frame in frames:
        if frame.pixels is None:
            yield frame
            continue
        frozen = last is not None and equal_pixels(last, frame.pixels)
        last = frame.pixels
        yield frame._replace(frozen=frozen)


def equal_pixels(first: Frame, second: Frame) -> bool:
    """Whether two frames are equal bit for bit."""
    if first.shape != second.shape:
        return False
    probe = (slice(None, None, PROBE_STEP), slice(None, None, PROBE_STEP))
    return np.array_equal(first[probe], second[probe]) and np.array_equal(first, second)
