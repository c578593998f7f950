"""The frames of a run, tracked one by one and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dcfnet.cli.delays import Delays
from dcfnet.cli.log import say
from dcfnet.cli.targets.run_targets import RunTargets
from dcfnet.errors import InvalidBoxError, SourceError
from dcfnet.io.frame import Frame
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.result import Status

MANY_FROZEN = 0.1  # share of frozen frames at which the decoder is suspected
OPENCV_LIMITS = (
    "OpenCV decodes neither interlaced video nor grey of more than 8 bits; if this video is one of these, install PyAV "
    "(pip install av), or remove the interlacing with: ffmpeg -i VIDEO -vf bwdif NEW.mp4"
)


@dataclass
class Summary:
    """What a run did. frames: number of all frames; undecoded and frozen: of those among them.

    rows: boxes of all targets; lost: of those among them. several: whether the run can have several targets. targets,
    ended: number of all targets, and of those that ended before the run.
    updates: frames that the tracker searched. seconds: time in the tracker, without decoding and drawing. problems:
    what is missing in the source, and targets that did not start; empty if the run is complete.
    delays: of the frames of a live source. died: why a live source ended; "" for any other.
    """

    frames: int = 0
    several: bool = False
    targets: int = 0
    ended: int = 0
    rows: int = 0
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
        speed += self.delays.text()
        if not self.several:
            return f"{self.frames} frames, lost in {self.lost}{undecoded}{frozen}{speed}"
        if not self.targets:
            return f"{self.frames} frames{undecoded}, no target started{frozen}"
        targets = f"{self.targets} target{'s' * (self.targets != 1)}" + f" ({self.ended} ended)" * bool(self.ended)
        return f"{self.frames} frames{undecoded}, {targets}, {self.lost} of {self.rows} boxes lost{frozen}{speed}"


def track(
    targets: RunTargets, frames: Iterable[SourceFrame], summary: Summary
) -> Iterator[tuple[SourceFrame, list[TargetRow]]]:
    """Each frame with the rows of its targets. A target has no result in the frame of its start. Updates the summary.

    Raises InvalidBoxError if a target cannot start in the first frame.
    """
    for index, frame in enumerate(frames):
        if index == 0:  # there is no target yet, but there may be detections
            rows = [] if frame.pixels is None else targets.search(frame.pixels, index)
        elif frame.pixels is None or frame.problem:
            rows = targets.reject()
            summary.undecoded += 1
        elif frame.frozen:
            rows = targets.repeat()
            summary.frozen += 1
        else:
            started = time.perf_counter()
            rows = targets.search(frame.pixels, index, frame.stamp)
            summary.seconds += time.perf_counter() - started
            summary.updates += 1
        summary.frames += 1
        summary.lost += sum(row.result is not None and row.result.status is Status.LOST for row in rows)
        rows += targets.start(frame.pixels, index)
        summary.rows += len(rows)
        summary.targets, summary.ended = targets.started, targets.ended
        frame = frame.answered()
        if index:
            summary.delays.add(frame.delay)
        yield frame, rows
    targets.finish(summary.frames)


def describe_box_error(error: InvalidBoxError, source: FrameSource, frame: Frame) -> str:
    """The message of the error. For a region without texture: also how the frame is stored, which may be the cause."""
    return f"{error}. {_describe_frame(source, frame)}" if error.no_texture else str(error)


def _describe_frame(source: FrameSource, frame: Frame) -> str:
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
    say(f"{source.name}: {summary.frozen} frames are frozen; {OPENCV_LIMITS}", "note", logging.WARNING)
