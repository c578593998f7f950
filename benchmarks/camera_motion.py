"""Whether `camera_motion` helps: python benchmarks/camera_motion.py FOLDER... [--limit FRAMES] [--output FILE].

Folders in OTB's layout. Each sequence is tracked from several starts (`starts_of`), without the option and with it, in
turn on the same frames. With a shake of M px, each frame is shifted by a random whole number from -M to M along each
axis. Its border is repeated to fill the rest, and the true box moves with it. The random numbers depend on the name of
the sequence and on M alone. Printed for each folder and shake: success AUC without and with the option, the difference
with its interval (`compare`), precision@20px, and CPU time with / without the option.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.result import Box, Result
from dcfnet.tracker import Tracker
from dcfnet_calibration.scoring import starts_of
from dcfnet_evaluation.changed_frames import ChangedFrames
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import run_passes
from dcfnet_evaluation.scores import Score, compare, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray

WITHOUT, WITH = "without", "with"
KEPT = ("sequence", "frames", "auc", "precision", "lost")  # numbers of a score in the output


@dataclass(frozen=True)
class ShakenFrames(ChangedFrames):
    """Frames of a camera that shakes. offsets: (N, 2), whole pixels, (x, y), by which the scene is shifted."""

    offsets: NDArray[np.int64]

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        frame = self.frames.read(index)
        height, width = frame.shape[:2]
        x, y = self.offsets[index]
        border = int(np.abs(self.offsets[index]).max())
        wide: Frame = cv2.copyMakeBorder(frame, border, border, border, border, cv2.BORDER_REPLICATE)
        return wide[border - y : border - y + height, border - x : border - x + width].copy()


def shaken(sequence: AnnotatedSequence, largest: int) -> AnnotatedSequence:
    """The sequence with a shake of up to `largest` px along each axis."""
    if not largest:
        return sequence
    rng = np.random.default_rng([largest, *sequence.name.encode()])
    offsets = rng.integers(-largest, largest + 1, size=(len(sequence), 2))
    boxes = sequence.boxes + np.pad(offsets, ((0, 0), (0, 2)))
    return dataclasses.replace(sequence, frames=ShakenFrames(sequence.frames, offsets), boxes=boxes)


class TimedTracker:
    """A tracker that measures the CPU time of its updates. seconds: of each update."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self.seconds = tracker, list[float]()

    def init(self, frame: Frame, box: Box | Sequence[float]) -> None:
        """See `Tracker.init`."""
        self._tracker.init(frame, box)

    def update(self, frame: Frame) -> Result:
        """See `Tracker.update`."""
        start = time.process_time()
        result = self._tracker.update(frame)
        self.seconds.append(time.process_time() - start)
        return result


def measured(
    trackers: dict[str, Tracker], sequence: AnnotatedSequence, starts: int, limit: int | None
) -> dict[str, Any]:
    """Scores and CPU times of both trackers on one sequence. limit: frames of each pass; None: to the end."""
    timed = {name: TimedTracker(tracker) for name, tracker in trackers.items()}
    passes = [run_passes(timed, sequence, start, limit) for start in starts_of(sequence, starts)]
    scores = {name: Score.of([each[name] for each in passes], sequence) for name in timed}
    return {"scores": scores, "seconds": {name: sum(tracker.seconds) for name, tracker in timed.items()}}


def report(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The line of a group of sequences, then one line per sequence."""
    scores = {name: [each["scores"][name] for each in found] for name in (WITHOUT, WITH)}
    means = {name: mean_score(each) for name, each in scores.items()}
    difference = compare(scores[WITHOUT], scores[WITH])
    seconds = {name: sum(each["seconds"][name] for each in found) for name in (WITHOUT, WITH)}
    ratio = seconds[WITH] / seconds[WITHOUT]
    yield (
        f"AUC {means[WITHOUT].auc:.3f} without, {means[WITH].auc:.3f} with, difference {difference.difference:+.4f} "
        f"({difference.low:+.3f} to {difference.high:+.3f}, {len(found)} sequences); precision "
        f"{means[WITHOUT].precision:.3f}, {means[WITH].precision:.3f}; CPU time x {ratio:.2f}"
    )
    for name, change in zip(difference.sequences, difference.differences, strict=True):
        yield f"  {name} {change:+.3f}"


def compared(
    trackers: dict[str, Tracker],
    chosen: argparse.Namespace,
    kind: str,
    starts: int,
    change: Callable[[AnnotatedSequence, Any], AnnotatedSequence],
) -> list[dict[str, Any]]:
    """Prints the report of each folder and change, and returns a row per sequence.

    chosen: arguments of the command: folders, leave_out, limit, and values of the change, by the name `kind`.
    """
    cv2.setNumThreads(1)  # so that process_time is the time of one thread
    rows = []
    for value in getattr(chosen, kind):
        for folder in chosen.folders:
            sequences = [each for each in open_dataset("otb", folder) if each.name not in chosen.leave_out]
            found = [measured(trackers, change(sequence, value), starts, chosen.limit) for sequence in sequences]
            print(f"{folder.name}, {kind} of {value:g}:", "\n".join(report(found)), flush=True)
            for each in found:
                scores = {name: {key: getattr(score, key) for key in KEPT} for name, score in each["scores"].items()}
                rows.append({"folder": folder.name, kind: value, "scores": scores, "seconds": each["seconds"]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--shake", type=int, nargs="+", default=[0, 20, 40], metavar="PX")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--limit", type=int, help="frames of each pass; default: to the end of the sequence")
    parser.add_argument("--leave-out", action="append", default=[], metavar="NAME")
    parser.add_argument("--model")
    parser.add_argument("--preset")
    parser.add_argument("--output", type=Path, help="JSON file for the scores of all sequences")
    chosen = parser.parse_args()
    options = {"device": "cpu", "preset": chosen.preset, "threads": 1}
    trackers = {
        name: Tracker(chosen.model, config={"camera_motion": name == WITH}, **options) for name in (WITHOUT, WITH)
    }
    rows = compared(trackers, chosen, "shake", chosen.starts, shaken)
    if chosen.output:
        content = {
            **{name: getattr(chosen, name) for name in ("starts", "limit", "model", "preset")},
            "sequences": rows,
        }
        chosen.output.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
