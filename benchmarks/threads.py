"""Wall time and CPU time of an update, by preset and number of threads.

    python benchmarks/threads.py FOLDER NAME [NAME ...] [--rate 30]

FOLDER: sequences in OTB's layout. NAME: of the sequences to use; 125 frames of each. --rate: frames a second; 0 for one
frame after the other. All trackers run in turns of 25 frames, in an order that alternates. Prints medians: wall time of
`update`, CPU time of `update`, and CPU time per frame period. The last one includes threads of ONNX Runtime that spin
after `update` has returned.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from dcfnet import Tracker
from numpy.typing import NDArray
from turns import in_turns

FRAMES = 125
SPIN = 1 / 30  # seconds: longer than threads of ONNX Runtime spin
PRESETS, THREADS = ("balanced", "fast"), (1, 2, None)


def main(folder: Path, names: list[str], rate: float) -> None:
    """Times all trackers on the same frames."""
    period = 1 / rate if rate else 0.0
    cv2.setNumThreads(1)
    trackers = {
        (preset, count): Tracker(device="cpu", preset=preset, threads=count) for preset in PRESETS for count in THREADS
    }
    times: dict[tuple[str, int | None], list[tuple[float, float, float]]] = {key: [] for key in trackers}
    for key, frames in in_turns(folder, names, trackers, FRAMES):
        time.sleep(SPIN)  # threads of the previous tracker stop spinning
        times[key] += [timed(trackers[key], frame, period) for frame in frames]
    for (preset, count), measured in times.items():
        wall, cpu, whole = 1e3 * np.median(np.array(measured), axis=0)
        print(f"{preset:9s} threads={count}  wall {wall:6.2f} ms, CPU {cpu:6.2f} ms, CPU in a period {whole:6.2f} ms")


def timed(tracker: Tracker, frame: NDArray[np.uint8], period: float) -> tuple[float, float, float]:
    """Seconds of an update: wall time, CPU time of all threads, and CPU time until the next frame."""
    start, used = time.perf_counter(), time.process_time()
    tracker.update(frame)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    time.sleep(max(period - wall, 0))
    return wall, cpu, time.process_time() - used


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--rate", type=float, default=30.0)
    main(**vars(parser.parse_args()))
