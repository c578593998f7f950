"""Wall time and CPU time of an update, by preset and number of threads.

    python benchmarks/threads.py FOLDER NAME [NAME ...]

FOLDER: sequences in OTB's layout. NAME: of the sequences to use; 125 frames of each, 30 frames a second. All trackers
run in turns of 25 frames, in an order that alternates. Prints medians: wall time of `update`, CPU time of `update`, and
CPU time per frame period. The last one includes threads of ONNX Runtime that spin after `update` has returned.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from dcfnet import Tracker
from numpy.typing import NDArray
from turns import in_turns

FRAMES, PERIOD = 125, 1 / 30
PRESETS, THREADS = ("balanced", "fast"), (1, 2, None)


def main(folder: Path, names: list[str]) -> None:
    """Times all trackers on the same frames."""
    cv2.setNumThreads(1)
    trackers = {
        (preset, count): Tracker(device="cpu", preset=preset, threads=count) for preset in PRESETS for count in THREADS
    }
    times: dict[tuple[str, int | None], list[tuple[float, float, float]]] = {key: [] for key in trackers}
    for key, frames in in_turns(folder, names, trackers, FRAMES):
        time.sleep(PERIOD)  # threads of the previous tracker stop spinning
        times[key] += [timed(trackers[key], frame) for frame in frames]
    for (preset, count), measured in times.items():
        wall, cpu, period = 1e3 * np.median(np.array(measured), axis=0)
        print(f"{preset:9s} threads={count}  wall {wall:6.2f} ms, CPU {cpu:6.2f} ms, CPU in a period {period:6.2f} ms")


def timed(tracker: Tracker, frame: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Seconds of an update: wall time, CPU time of all threads, and CPU time until the next frame."""
    start, used = time.perf_counter(), time.process_time()
    tracker.update(frame)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    time.sleep(max(PERIOD - wall, 0))
    return wall, cpu, time.process_time() - used


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
