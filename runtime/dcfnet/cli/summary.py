"""The frames of a run, tracked one by one and counted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from dcfnet.cli.delays import Delays
from dcfnet.errors import SourceError
from dcfnet.io.frame import Frame
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.lifecycle.timestamps import unseen_result
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import Tracker
from dcfnet.tracking.status import rejected_results

MANY_FROZEN = 0.1  # share of frozen frames at which the decoder is suspected
OPENCV_LIMITS = (
    "OpenCV decodes neither interlaced video nor grey of more than 8 bits; if this video is one of these, install PyAV "
    "(pip install av), or remove the interlacing with: ffmpeg -i VIDEO -vf bwdif NEW.mp4"
)


@dataclass
class Summary:
    """What a run did. frames: number of all frames; lost, undecoded and frozen: of those among them.

    updates: frames that the tracker searched. seconds: time in the tracker, without decoding and drawing. problems:
    what is missing in the source; empty if the run is complete. delays: of the frames of a live source. died: why a
    live source ended; "" for any other.
    """

    frames: int = 0
    lost: int = 0
    undecoded: int = 0
    frozen: int = 0
    updates: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    delays: Delays = field(default_factory=Delays)
    died: str = ""

    @property
    def fps(self) -> float:
        """Updates per second, the tracker alone."""
        return self.updates / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """One line for the terminal."""
        undecoded = f" ({self.undecoded} of them not decoded)" if self.undecoded else ""
        frozen = f", {self.frozen} frozen frames (equal to the frame before; not learnt)" if self.frozen else ""
        speed = f", {self.fps:.1f} frames per second (tracker only)" if self.seconds else ""
        return f"{self.frames} frames, lost in {self.lost}{undecoded}{frozen}{speed}{self.delays.text()}"


def track(
    tracker: Tracker, first: SourceFrame, box: Box, frames: Iterator[SourceFrame], summary: Summary
) -> Iterator[tuple[SourceFrame, Box, Result | None]]:
    """Each frame with its box and result, first the initial one without a result. Updates the summary."""
    summary.frames = 1
    yield first.answered(), box, None
    last: Result | None = None
    for frame in frames:
        if frame.pixels is None or frame.problem:
            with_confidence = last is not None and last.confidence is not None
            (result,) = rejected_results([last.box if last else box], [Reason.BAD_FRAME], with_confidence)
            summary.undecoded += 1
        elif frame.frozen:  # the tracker does not see it, so it is not learnt
            result = unseen_result(last, last.box if last else box, Reason.FROZEN_FRAME)
            summary.frozen += 1
        else:
            started = time.perf_counter()
            result = tracker.update(frame.pixels, frame.stamp)
            summary.seconds += time.perf_counter() - started
            summary.updates += 1
        summary.frames += 1
        summary.lost += result.status is Status.LOST
        last, frame = result, frame.answered()
        summary.delays.add(frame.delay)
        yield frame, result.box, result


def describe_frame(source: FrameSource, frame: Frame) -> str:
    """How a frame without texture is stored, and why it may look flat."""
    stored = source.report.stored
    text = f"The whole frame has the levels {frame.min()} to {frame.max()} of 0 to 255"
    if "levels" in stored:
        return f"{text} ({stored}); select other levels with --range LOW,HIGH"
    return text + f" ({stored})" * bool(stored) + f"; {OPENCV_LIMITS}" * (source.report.decoder == "OpenCV")


def check_frozen(source: FrameSource, summary: Summary) -> None:
    """Tells that OpenCV may have repeated pictures that it could not decode.

    Raises SourceError if a video never changes: then no result is true.
    """
    if source.report.decoder != "OpenCV" or source.live or summary.frozen < MANY_FROZEN * summary.frames:
        return
    if summary.frozen == summary.frames - 1:
        raise SourceError(
            f"{source.name}: all {summary.frames} frames are equal ({source.report.stored}); {OPENCV_LIMITS}"
        )
    print(f"dcfnet-run: {source.name}: {summary.frozen} frames are frozen; {OPENCV_LIMITS}", file=sys.stderr)
