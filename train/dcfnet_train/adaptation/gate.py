"""The gate: adapted weights are taken where they are better, and where it can be told that they are not worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.consistency import Trip, candidates
from dcfnet_train.adaptation.segments import Unlabelled
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.validation import open_tracker

# AUC that a model may be worse by, at the end of the interval. Against the truth it is what nobody would see. To come
# back is no truth: there a gain has to be told from none.
TOLERANCE = 0.01
UNSEEN = 0.0  # without annotation
FEWEST = 8  # targets to judge by: the interval of fewer says little
Judge = Callable[[Checkpoint], list[Score]]


@dataclass(frozen=True)
class Verdict:
    """Two sets of weights in one tracker. before, after: mean success AUC of the starting ones and the adapted ones.

    tolerance: AUC below 0 that the interval of the difference may reach.
    """

    before: float
    after: float
    comparison: Comparison
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the adapted ones are better in the mean, and worse by no more than is tolerated in the interval."""
        return self.comparison.difference > 0 and self.comparison.low >= -self.tolerance

    @classmethod
    def of(cls, first: Sequence[Score], second: Sequence[Score], tolerance: float) -> Verdict:
        """Of the scores of both, on the same sequences. Raises SequenceError where there are fewer than two of them."""
        before, after = (mean_score(scores).auc for scores in (first, second))
        return cls(before, after, compare(first, second), tolerance)


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
