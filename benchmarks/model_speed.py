"""CPU time of the shipped models and of OpenCV's CSRT, in turns of 25 frames, on one thread each.

    .venv-peers/bin/python benchmarks/model_speed.py FOLDER NAME [NAME ...]

FOLDER: sequences in OTB's layout. NAME: of the sequences to use; 150 frames of each. Needs OpenCV with its contrib
modules, as in .venv-peers. Prints CPU milliseconds per update, and CSRT's time / the tracker's time over the turns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dcfnet import Tracker
from dcfnet_evaluation.trackers.peers import open_peer
from turns import in_turns

FRAMES = 150
TRACKERS = [("deep", preset) for preset in ("accurate", "balanced", "fast")] + [
    ("dcfnet", preset) for preset in ("balanced", "fast")
]


def main(folder: Path, names: list[str]) -> None:
    """Times all trackers on the same frames, in an order that alternates."""
    cv2.setNumThreads(1)
    trackers: dict[str, Any] = {
        f"{model}, {preset}": Tracker(model, "cpu", preset=preset, threads=1) for model, preset in TRACKERS
    }
    trackers["CSRT"] = open_peer("CSRT")
    turns: dict[str, list[list[float]]] = {name: [] for name in trackers}
    for key, frames in in_turns(folder, names, trackers, FRAMES):
        turns[key].append([timed(trackers[key], frame) for frame in frames])
    csrt = np.array([np.sum(turn) for turn in turns["CSRT"]])
    for key, measured in turns.items():
        each = np.concatenate(measured) * 1e3
        ratio = np.exp(np.mean(np.log(csrt / [np.sum(turn) for turn in measured])))
        print(f"{key:18s} median {np.median(each):6.2f} ms, mean {each.mean():6.2f} ms, CSRT / it {ratio:.2f}")


def timed(tracker: Any, frame: Any) -> float:
    """CPU seconds of an update, of all threads."""
    start = time.process_time()
    tracker.update(frame)
    return time.process_time() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
