"""Time that dcfnet-run --record-failures adds to a frame: python benchmarks/failure_recorder.py.

For each frame size: the median without a failure, and the longest time of a frame, with a failure being written.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from dcfnet.cli.failures.recorder import FailureRecorder
from dcfnet.config import TrackerConfig
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Reason, Result, Status
from dcfnet_evaluation.rendered import render_clip

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


def main() -> None:
    """Prints a row for each size."""
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            times = 1000 * np.array(frame_times((width, height), Path(folder) / str(width)))
            print(f"{width} x {height}: median {np.median(times):.1f} ms, longest {times.max():.1f} ms")


if __name__ == "__main__":
    main()
