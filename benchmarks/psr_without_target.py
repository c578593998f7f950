"""The peak-to-sidelobe ratio with and without a target: python benchmarks/psr_without_target.py SEQUENCES [PRESET].

SEQUENCES is a folder of at least two sequences in OTB's layout. There are three samples. The first two track
a target for some frames, and then search for it in a frame of another sequence, or in its own frame beside it. The
third one is all frames of tracked sequences with an overlap above 0.4. The thresholds of lost and uncertain were chosen
by these samples (docs/tuning.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.result import Box, Result, Status
from dcfnet.tracker import Tracker
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init, step
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.scores.metrics import overlaps
from dcfnet_evaluation.sequences import AnnotatedSequence

PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 99]
REPEATS, POSITIONS = 3, 6  # starts per sequence; positions to search in the last frame of each start
LOST, NOT_TRACKED = {Status.LOST}, {Status.LOST, Status.UNCERTAIN}
TRACKED = 10  # frames before the search without a target


@dataclass
class Sample:
    """Peak-to-sidelobe ratios and statuses of the same results."""

    psr: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Appends a result."""
        self.psr.append(result.psr)
        self.statuses.append(result.status)


def search_at(pipeline: Pipeline, state: TrackState, frame: np.ndarray, centre: np.ndarray) -> Result:
    _, (result,) = step(pipeline, state.replace(centre=centre[None]), {0: frame})
    return result


def tracked_state(pipeline: Pipeline, sequence: AnnotatedSequence, first: int) -> tuple[TrackState, np.ndarray]:
    """The state after TRACKED frames from `first` on, and the last frame."""
    frame = sequence.read(first)
    state = init(pipeline, {0: frame}, [Box(*sequence.boxes[first])], [0])
    for index in range(first + 1, first + 1 + TRACKED):
        frame = sequence.read(index)
        state, _ = step(pipeline, state, {0: frame})
    return state, frame


def results_without_target(pipeline: Pipeline, sequences: list[AnnotatedSequence]) -> tuple[Sample, Sample]:
    """Results in other scenes, and in the same scene away from the target."""
    rng, other_scene, same_scene = np.random.default_rng(0), Sample(), Sample()
    for sequence in sequences:
        for _ in range(REPEATS):
            state, frame = tracked_state(pipeline, sequence, int(rng.integers(len(sequence) - TRACKED)))
            size = np.array([frame.shape[1], frame.shape[0]])
            for other in (s for s in sequences if s is not sequence):
                scene = cv2.resize(other.read(int(rng.integers(len(other)))), (frame.shape[1], frame.shape[0]))
                other_scene.add(search_at(pipeline, state, scene, rng.uniform(0.2, 0.8, size=2) * size))
            for centre in rng.uniform(0.1, 0.9, size=(POSITIONS, 2)) * size:
                if (
                    np.abs(centre - state.centre[0]) > 2.2 * state.size[0]
                ).any():  # the search region is beside the target
                    same_scene.add(search_at(pipeline, state, frame, centre))
    return other_scene, same_scene


def results_with_target(sequences: list[AnnotatedSequence], preset: str) -> Sample:
    """Results in the frames that are tracked with an overlap above 0.4."""
    sample = Sample()
    for sequence in sequences:
        pass_ = run_pass(Tracker("dcfnet", preset=preset), sequence)
        correct = overlaps(pass_.boxes, sequence.boxes)[1:] > 0.4
        sample.psr += pass_.psr[1:][correct].tolist()
        sample.statuses += np.array(pass_.statuses[1:])[correct].tolist()
    return sample


def main(root: Path, preset: str = "balanced") -> None:
    sequences = open_dataset("otb", root)
    other_scene, same_scene = results_without_target(open_pipeline("dcfnet", preset=preset), sequences)
    print("percentile              ", *(f"{p:6d}" for p in PERCENTILES), "     lost  not tracked")
    rows = {
        "another scene": other_scene,
        "same scene elsewhere": same_scene,
        "tracked": results_with_target(sequences, preset),
    }
    for name, sample in rows.items():
        lost, not_tracked = (
            np.mean([status in statuses for status in sample.statuses]) for statuses in (LOST, NOT_TRACKED)
        )
        percentiles = [f"{v:6.1f}" for v in np.percentile(sample.psr, PERCENTILES)]
        print(f"{name:20s} {len(sample.psr):4d}", *percentiles, f"{lost:9.1%} {not_tracked:12.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
