"""The gate: accepts adapted weights if their mean AUC is higher and the interval is within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.consistency import TARGETS, Trip, candidates
from dcfnet_train.adaptation.segments import KEPT_BACK, LENGTH, Unlabelled
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.validation import open_tracker

# Largest loss of AUC at the low end of the interval. With ground truth, a loss of 0.01 is not visible. Consistency is
# not ground truth, so without annotation the gain must be significant.
TOLERANCE = 0.01
UNSEEN = 0.0  # tolerance without annotation
FEWEST = 8  # smallest number of targets for the gate; with fewer, the interval is too wide
Judge = Callable[[Checkpoint], list[Score]]


@dataclass(frozen=True)
class Verdict:
    """Comparison of the initial and the adapted weights in one tracker.

    before, after: mean success AUC of the initial and of the adapted weights. comparison: paired by sequence.
    tolerance: the low end of the interval of the difference must be at least -tolerance.
    """

    before: float
    after: float
    comparison: Comparison
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the mean difference is above 0, and the low end of its interval is at least -tolerance."""
        return self.comparison.difference > 0 and self.comparison.low >= -self.tolerance

    @classmethod
    def of(cls, first: Sequence[Score], second: Sequence[Score], tolerance: float) -> Verdict:
        """Compares two lists of scores on the same sequences. Raises SequenceError for fewer than two sequences."""
        before, after = (mean_score(scores).auc for scores in (first, second))
        return cls(before, after, compare(first, second), tolerance)


@dataclass(frozen=True)
class Consistency:
    """Scores weights by forward-backward consistency, on the segments that are not trained on.

    It detects a lost target. It does not detect that both passes agree on a wrong target.
    """

    videos: Sequence[Unlabelled]
    seed: int
    seen: Callable[[], None] = lambda: None  # called after each segment

    def __call__(self, checkpoint: Checkpoint) -> list[Score]:
        """A score for each target. Raises SequenceError for fewer than FEWEST targets."""
        tracker = open_tracker(checkpoint, checkpoint.recipe.tracker_config(checkpoint.recipe.stride))
        scores: list[Score] = []
        for video, start in self.segments():
            for target in candidates(video, start, self.seed):
                trip = Trip.take(tracker, target.frames, target.box, target.rng)
                scores.append(trip.score(f"{len(scores)}: {video.name} from frame {start}", target.frames))
            self.seen()
        if len(scores) < FEWEST:
            raise SequenceError(
                f"targets for the gate: {len(scores)}, at least {FEWEST} are needed; "
                "add footage, or use --validate SEQUENCES"
            )
        return scores

    def check_length(self) -> None:
        """Raises SequenceError if the footage is too short for FEWEST targets. Reads no frame, so it comes first."""
        count = len(list(self.segments()))
        if TARGETS * count < FEWEST:
            raise SequenceError(
                f"segments of {LENGTH} frames for the gate: {count}, at least {-(-FEWEST // TARGETS)} are needed in "
                f"the last {KEPT_BACK:.0%} of the videos; use longer or more videos, or --validate SEQUENCES"
            )

    def segments(self) -> Iterator[tuple[Unlabelled, int]]:
        """The segments for the gate: each video with the first frame of a segment."""
        return ((video, start) for video in self.videos for start in video.judged_by())
