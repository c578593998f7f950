"""What dcfnet-run --record-failures costs, and how often it records: python benchmarks/failure_recorder.py [FOLDER].

Without FOLDER, for each frame size: the median time that it adds to a frame without a failure, and the longest time of
a frame, with a failure being written. With sequences in OTB's layout: the frames in which failures of the run start, in
one pass over each, with the overlap of the box in this frame, and the first frame with an overlap under 0.1.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dcfnet.cli.failures.recorder import FailureRecorder
from dcfnet.cli.failures.rule import Cause, FailureRule
from dcfnet.config import TrackerConfig
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Reason, Result, Status
from dcfnet.tracker import Tracker
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.rendered import render_clip
from dcfnet_evaluation.scores.metrics import overlaps, scored
from dcfnet_evaluation.scores.trust import FAILED_OVERLAP
from dcfnet_evaluation.sequences import AnnotatedSequence

SIZES = ((320, 240), (640, 480), (1920, 1080))  # px
FRAMES, LOST, RATE = 240, range(120, 140), 30


def frame_times(size: tuple[int, int], folder: Path) -> list[float]:
    """Seconds of each frame in the recorder. size: (width, height)."""
    clip = render_clip(2, *size)
    frame, box = clip.frame(1), clip.box(1)
    found = Result(box, 0.6, 20.0, 50.0, Status.TRACKED, Reason.FOUND, 0.7, 0.9)
    lost = Result(box, 0.2, 4.0, 9.0, Status.LOST, Reason.LOW_PSR, 0.1, 0.05)
    times = []
    with FailureRecorder(folder, "clip", {}, TrackerConfig()) as recorder:
        for index in range(FRAMES):
            time.sleep(0.5 / RATE)  # the tracker
            started = time.perf_counter()
            recorder.add(index, SourceFrame(frame, index / RATE), box, lost if index in LOST else found)
            times.append(time.perf_counter() - started)
    return times


def failure_starts(tracker: Tracker, sequence: AnnotatedSequence) -> tuple[list[tuple[int, Cause, float]], int | None]:
    """(frame, cause, overlap) of each start of a failure, and the first frame with an overlap under FAILED_OVERLAP.

    The overlap is NaN in frames without a true box.
    """
    rule, causes, boxes = FailureRule(), dict[int, Cause](), [sequence.boxes[0]]
    tracker.init(sequence.frames.read(0), sequence.boxes[0])
    for index in range(1, len(sequence.frames)):
        result = tracker.update(sequence.frames.read(index))
        boxes.append(result.box)
        if cause := rule.add(index, result):
            causes[index] = cause
    found = np.where(scored(sequence.boxes), overlaps(np.array(boxes), sequence.boxes), np.nan)
    failed = np.flatnonzero(found < FAILED_OVERLAP)
    starts = [(index, cause, float(found[index])) for index, cause in causes.items()]
    return starts, int(failed[0]) if len(failed) else None


def count_failures(folder: Path) -> Iterator[str]:
    """The lines of all sequences, and the totals."""
    tracker, causes, frames = Tracker(device="cpu"), Counter[tuple[str, str]](), 0
    for sequence in open_dataset("otb", folder):
        starts, failed = failure_starts(tracker, sequence)
        frames += len(sequence.frames) - 1
        shown = ", ".join(f"frame {index} {cause.value} (overlap {overlap:.2f})" for index, cause, overlap in starts)
        yield f"{sequence.name}: {shown or 'no failure'}; first failed frame: {failed}"
        causes.update((cause.value, "good" if overlap > 0.5 else "not good") for _, cause, overlap in starts)
    yield f"{frames} results; " + ", ".join(f"{cause}, box {box}: {n}" for (cause, box), n in sorted(causes.items()))


def main() -> None:
    """Prints a row for each size, or for each sequence."""
    if sys.argv[1:]:
        for line in count_failures(Path(sys.argv[1])):
            print(line, flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            times = 1000 * np.array(frame_times((width, height), Path(folder) / str(width)))
            print(f"{width} x {height}: median {np.median(times):.1f} ms, longest {times.max():.1f} ms")


if __name__ == "__main__":
    main()
