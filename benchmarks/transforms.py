"""Compares transform="fft" with the matrices on a CPU, call by call: python benchmarks/transforms.py SEQUENCE.

SEQUENCE: a folder in the layout of OTB. For each configuration it prints the ratio of the median times of a call of
`update`, fft / matrices, and how many boxes are equal to the last bit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import dcfnet
import numpy as np
from dcfnet_evaluation.datasets.otb import read_otb

MODELS: tuple[tuple[str, dict[str, str]], ...] = (
    ("dcfnet", {"config": "paper"}),
    *(("dcfnet", {"preset": preset}) for preset in ("accurate", "balanced", "fast")),
    ("deep", {}),
)
FRAMES = 200


def main() -> None:
    sequence = read_otb(Path(sys.argv[1]))
    frames, box = [sequence.read(index) for index in range(min(FRAMES, len(sequence)))], tuple(sequence.boxes[0])
    for model, settings in MODELS:
        print(f"{model} {' '.join(settings.values())}".strip(), compared(model, settings, frames, box), sep=": ")


def compared(model: str, settings: dict[str, str], frames: list[Any], box: tuple[float, ...]) -> str:
    """The ratio of the times and the equality of the boxes, in words. Both trackers get each frame, in turn."""
    config = dcfnet.Tracker(model, device="cpu", threads=1, **settings).config
    trackers = [
        dcfnet.Tracker(model, device="cpu", threads=1, config=config.replace(transform=name))
        for name in ("matrices", "fft")
    ]
    times, boxes = ([], []), ([], [])  # type: tuple[list[float], list[float]], tuple[list[Any], list[Any]]
    for tracker in trackers:
        tracker.init(frames[0], box)
    for index, frame in enumerate(frames[1:]):
        for which in (0, 1) if index % 2 else (1, 0):
            begin = time.perf_counter()
            result = trackers[which].update(frame)
            times[which].append(time.perf_counter() - begin)
            boxes[which].append(tuple(result.box))
    equal = sum(one == other for one, other in zip(*boxes, strict=True))
    largest, ratio = np.abs(np.subtract(*boxes)).max(), median(times[1]) / median(times[0])
    return f"ratio {ratio:.2f}, {equal} of {len(boxes[0])} boxes equal, largest difference {largest:.3f} px"


if __name__ == "__main__":
    main()
