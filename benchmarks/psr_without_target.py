"""The peak-to-sidelobe ratio with and without a target: python benchmarks/psr_without_target.py SEQUENCES [PRESET].

SEQUENCES is a folder of at least two training sequences in OTB's layout. Three samples: a target followed for some
frames and then asked about another sequence's frame; asked about its own frame, away from it; and whole tracked
sequences, where the overlap is above 0.4. What is called lost and uncertain was chosen by these (docs/tuning.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from dcfnet.geometry import Box
from dcfnet.pipeline import Pipeline
from dcfnet.result import Result, Status
from dcfnet.state import TrackState
from dcfnet.steps import init, step
from dcfnet.tracker import Tracker, open_pipeline
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.metrics import overlaps
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.sequences import AnnotatedSequence

PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 99]
REPEATS, ELSEWHERE = 3, 6  # starts a sequence; places asked about in the last frame of each
LOST, DOUBTFUL = {Status.LOST}, {Status.LOST, Status.UNCERTAIN}
FOLLOWED = 10  # frames before it is asked


@dataclass
class Sample:
    """Peak-to-sidelobe ratios, and the words they were answered with."""

    psr: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """One answer more."""
        self.psr.append(result.psr)
        self.statuses.append(result.status)


def asked_at(pipeline: Pipeline, state: TrackState, frame: np.ndarray, place: np.ndarray) -> Result:
    _, (result,) = step(pipeline, state.replace(centre=place[None]), [frame])
    return result


def followed(pipeline: Pipeline, sequence: AnnotatedSequence, first: int) -> tuple[TrackState, np.ndarray]:
    """The state after FOLLOWED frames from `first` on, and the last of them."""
    frame = sequence.read(first)
    state = init(pipeline, [frame], [Box(*sequence.boxes[first])], [0])
    for index in range(first + 1, first + 1 + FOLLOWED):
        frame = sequence.read(index)
        state, _ = step(pipeline, state, [frame])
    return state, frame


def absent(pipeline: Pipeline, sequences: list[AnnotatedSequence]) -> tuple[Sample, Sample]:
    """Answers in other scenes, and in the same scene away from the target."""
    rng, other_scene, same_scene = np.random.default_rng(0), Sample(), Sample()
    for sequence in sequences:
        for _ in range(REPEATS):
            state, frame = followed(pipeline, sequence, int(rng.integers(len(sequence) - FOLLOWED)))
            size = np.array([frame.shape[1], frame.shape[0]])
            for other in (s for s in sequences if s is not sequence):
                scene = cv2.resize(other.read(int(rng.integers(len(other)))), (frame.shape[1], frame.shape[0]))
                other_scene.add(asked_at(pipeline, state, scene, rng.uniform(0.2, 0.8, size=2) * size))
            for place in rng.uniform(0.1, 0.9, size=(ELSEWHERE, 2)) * size:
                if (np.abs(place - state.centre[0]) > 2.2 * state.size[0]).any():  # the region misses the target
                    same_scene.add(asked_at(pipeline, state, frame, place))
    return other_scene, same_scene


def tracked(sequences: list[AnnotatedSequence], preset: str) -> Sample:
    """Answers in the frames that are tracked with an overlap above 0.4."""
    found = Sample()
    for sequence in sequences:
        done = run_pass(Tracker(preset=preset), sequence)
        well = overlaps(done.boxes, sequence.boxes)[1:] > 0.4
        found.psr += done.psr[1:][well].tolist()
        found.statuses += np.array(done.statuses[1:])[well].tolist()
    return found


def main(root: Path, preset: str = "balanced") -> None:
    sequences = open_dataset("otb", root)
    other_scene, same_scene = absent(open_pipeline(preset=preset), sequences)
    print("percentile              ", *(f"{p:6d}" for p in PERCENTILES), "     lost  not tracked")
    rows = {"another scene": other_scene, "same scene elsewhere": same_scene, "tracked": tracked(sequences, preset)}
    for name, sample in rows.items():
        lost, doubtful = (np.mean([said in words for said in sample.statuses]) for words in (LOST, DOUBTFUL))
        found = [f"{v:6.1f}" for v in np.percentile(sample.psr, PERCENTILES)]
        print(f"{name:20s} {len(sample.psr):4d}", *found, f"{lost:9.1%} {doubtful:12.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
