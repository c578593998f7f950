"""The gate: adapted weights are taken where they are better, and where it can be told that they are not worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from dcfnet_evaluation.scores import Comparison, Score, compare
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.consistency import Trip, candidates
from dcfnet_train.adaptation.segments import Unlabelled
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.validation import open_tracker

TOLERANCE = 0.01  # AUC that a model may be worse by, at the end of the interval: what nobody would see
FEWEST = 8  # targets to judge by: the interval of fewer says little
Judge = Callable[[Checkpoint], list[Score]]


@dataclass(frozen=True)
class Verdict:
    """Two sets of weights in one tracker. before, after: mean success AUC of the starting ones and the adapted ones."""

    before: float
    after: float
    comparison: Comparison

    @property
    def passed(self) -> bool:
        """Whether the adapted ones are better in the mean, and worse by no more than TOLERANCE within the interval."""
        return self.comparison.difference > 0 and self.comparison.low >= -TOLERANCE

    @classmethod
    def of(cls, judge: Judge, start: Checkpoint, adapted: Checkpoint) -> Verdict:
        """Judges both on the same. Raises SequenceError where there are fewer than two sequences to judge by."""
        first, second = judge(start), judge(adapted)
        before, after = (float(np.mean([score.auc for score in scores])) for scores in (first, second))
        return cls(before, after, compare(first, second))


@dataclass(frozen=True)
class Consistency:
    """Judges by targets in the segments that are held back: how well the way back follows the way there.

    It sees that a target is lost, and not that both ways agree on something else.
    """

    videos: Sequence[Unlabelled]
    seed: int
    seen: Callable[[], None] = lambda: None  # called once a segment

    def __call__(self, checkpoint: Checkpoint) -> list[Score]:
        """A score of every target. Raises SequenceError where there are fewer than FEWEST."""
        tracker = open_tracker(checkpoint, checkpoint.recipe.tracker_config(checkpoint.recipe.stride))
        scores: list[Score] = []
        for video, start in self.segments():
            for target in candidates(video, start, self.seed):
                trip = Trip.take(tracker, target.frames, target.box, target.rng)
                scores.append(trip.score(f"{len(scores)}: {video.name} from frame {start}", target.frames))
            self.seen()
        if len(scores) < FEWEST:
            raise SequenceError(f"{len(scores)} targets to judge by; give more footage, or --validate SEQUENCES")
        return scores

    def segments(self) -> Iterator[tuple[Unlabelled, int]]:
        """Every segment that is held back, by its video and its first frame."""
        return ((video, start) for video in self.videos for start in video.judged_by())
