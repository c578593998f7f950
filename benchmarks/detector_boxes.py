"""What `correct` does with right and wrong boxes: python benchmarks/detector_boxes.py DEVELOP [NAME ...].

Each sequence is tracked without a detector first. Then in every second frame a detector has boxes:
own: of the target. other: of what the target followed without a detector, in the frames in which it had lost its own
object (overlap below 0.1). both: these, and the box of the target too. The boxes of the target and of the other object
have noise of 4 % of their size. Prints per sequence and kind of boxes: corrections; of them right (overlap above 0.5)
and `uncertain`; good frames (overlap above 0.5), and those of them that are `lost`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import Tracker
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.scores.metrics import SUCCESS_OVERLAP
from dcfnet_evaluation.scores.trust import FAILED_OVERLAP

EVERY, NOISE, SMALLEST = 2, 0.04, 4.0  # frames; share of the size; px, no detector finds smaller targets
KINDS = ("own", "other", "both")
NUMBERS = ("corrections", "right", "uncertain", "good frames", "lost")


def track(frames: list[Frame], start: Box, found: list[list[Box]], preset: str) -> list[Result]:
    """The results of a tracker that gets the boxes of each frame."""
    tracker, results = Tracker("deep", device="cpu", preset=preset, threads=1), list[Result]()
    tracker.init(frames[0], start)
    for frame, boxes in zip(frames[1:], found[1:], strict=True):
        result = tracker.update(frame)
        corrected = tracker.correct(frame, boxes).result if boxes else None
        results.append(corrected or result)
    return results


def seen(box: Box, frame: Frame, rng: np.random.Generator) -> list[Box]:
    """The box as a detector finds it, or none outside the frame."""
    height, width = np.shape(frame)[:2]
    (x, y), noise = box.centre, rng.normal(0, NOISE, 4) * (*box.size, *box.size)
    if min(box.size) < SMALLEST or not (0 <= x < width and 0 <= y < height):
        return []
    return [Box(*(np.array(box) + noise).tolist())]


def count(results: list[Result], truth: list[Box]) -> list[int]:
    """NUMBERS of one run."""
    overlaps = [result.box.iou(box) for result, box in zip(results, truth[1:], strict=True)]
    good = [result for result, overlap in zip(results, overlaps, strict=True) if overlap > SUCCESS_OVERLAP]
    corrected = [result for result in results if result.reason is Reason.CORRECTED]
    return [
        len(corrected),
        sum(result.reason is Reason.CORRECTED for result in good),
        sum(result.status is Status.UNCERTAIN for result in corrected),
        len(good),
        sum(result.status is Status.LOST for result in good),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--preset", default="fast")
    chosen = parser.parse_args()
    totals = {kind: np.zeros(len(NUMBERS), int) for kind in KINDS}
    for sequence in open_dataset("otb", chosen.dataset, chosen.names or None):
        length, rng = min(len(sequence), chosen.frames), np.random.default_rng(0)
        frames, truth = [sequence.read(t) for t in range(length)], [Box(*box) for box in sequence.boxes[:length]]
        free = track(frames, truth[0], [[]] * length, chosen.preset)
        followed = [truth[0], *(result.box for result in free)]
        every = [t % EVERY == 0 for t in range(length)]
        own = [seen(truth[t], frames[t], rng) if every[t] else [] for t in range(length)]
        failed = [every[t] and followed[t].iou(truth[t]) < FAILED_OVERLAP for t in range(length)]
        other = [seen(followed[t], frames[t], rng) if failed[t] else [] for t in range(length)]
        both = [own[t] + other[t] if other[t] else [] for t in range(length)]
        for kind, found in zip(KINDS, (own, other, both), strict=True):
            numbers = count(track(frames, truth[0], found, chosen.preset), truth) if any(found) else [0] * len(NUMBERS)
            totals[kind] += numbers
            print(
                sequence.name,
                kind,
                *(f"{name} {number}" for name, number in zip(NUMBERS, numbers, strict=True)),
                sep=", ",
            )
    for kind in KINDS:
        print("all", kind, *(f"{name} {number}" for name, number in zip(NUMBERS, totals[kind], strict=True)), sep=", ")


if __name__ == "__main__":
    main()
