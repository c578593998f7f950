"""What a source yields: frames with their times, and a report of what was wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dcfnet.io.frame import Frame

PROBE_STEP = 16  # rows and columns between the pixels that are compared first; most frames differ there


class SourceFrame(NamedTuple):
    """One frame of a source.

    pixels: uint8 (H, W, 3) BGR; None if the frame could not be decoded. time: seconds after the first frame; it never
    decreases. problem: why the pixels are missing or damaged; "" if they are complete. frozen: the pixels equal those
    of the frame before, bit for bit. A frozen frame contains no new information, so no filter may be updated on it.
    """

    pixels: Frame | None
    time: float
    problem: str = ""
    frozen: bool = False


@dataclass
class SourceReport:
    """What reading a source showed. It grows while the frames are read.

    notes: facts that the user must know, but that lose no frame. problems: losses; after them the results are partial.
    stored: how the pixels are stored, for example "h264 video, yuv420p"; "" if unknown. decoder: the library that
    decodes a video; "" for images.
    """

    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stored: str = ""
    decoder: str = ""


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
