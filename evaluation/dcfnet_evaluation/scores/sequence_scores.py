"""Scores of sequences, their means, and the paired comparison of two sets of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass, failures
from dcfnet_evaluation.scores.metrics import (
    centre_location_error,
    overlap_precision,
    precision,
    precision_curve,
    scored,
    success_curve,
)
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """Scores of one tracker on one sequence: means over its passes (OPE: 1, TRE: up to 20, SRE: 12).

    frames: number of scored frames. auc: success AUC. precision: DP at 20 px. overlap_precision: OP at 0.5.
    centre_error: CLE, px, NaN without any box. lost: share of updates with the status "lost". failures: number of
    frames without a usable box. fps: updates per second, of the updates that ran. success, precisions: curves over 21
    overlap and 51 distance thresholds.
    """

    sequence: str
    frames: int
    auc: float
    precision: float
    overlap_precision: float
    centre_error: float
    lost: float
    failures: int
    fps: float
    success: tuple[float, ...]
    precisions: tuple[float, ...]

    @classmethod
    def of(cls, passes: Sequence[Pass], sequence: AnnotatedSequence) -> Score:
        """Scores of the passes over one sequence."""
        pairs = [(one_pass.boxes, one_pass.truth(sequence)) for one_pass in passes]
        success = np.mean([success_curve(*pair) for pair in pairs], axis=0)
        statuses = [status for one_pass in passes for status in one_pass.statuses[1:]]
        seconds = np.concatenate([one_pass.seconds[1:] for one_pass in passes])
        return cls(
            sequence=sequence.name,
            frames=sum(int(scored(truth).sum()) for _, truth in pairs),
            auc=float(success.mean()),
            precision=float(np.mean([precision(*pair) for pair in pairs])),
            overlap_precision=float(np.mean([overlap_precision(*pair) for pair in pairs])),
            centre_error=_mean([centre_location_error(*pair) for pair in pairs]),
            lost=statuses.count("lost") / max(len(statuses), 1),
            failures=sum(failure.frames for failure in failures(passes)),
            fps=float((seconds > 0).sum() / seconds.sum()) if seconds.any() else 0.0,
            success=tuple(success.tolist()),
            precisions=tuple(np.mean([precision_curve(*pair) for pair in pairs], axis=0).tolist()),
        )


def mean_score(scores: Sequence[Score], name: str = "mean") -> Score:
    """Mean over sequences with equal weight, as in OTB. frames and failures are sums, fps is the median."""
    summed = {"frames", "failures"}
    values: dict[str, object] = {"sequence": name, "fps": float(np.median([score.fps for score in scores]))}
    for key in (entry.name for entry in fields(Score) if entry.name not in values):
        column = [getattr(score, key) for score in scores]
        if key in summed:
            values[key] = sum(column)
        elif key in ("success", "precisions"):
            values[key] = tuple(np.mean(column, axis=0).tolist())
        else:
            values[key] = _mean(column)
    return Score(**values)  # type: ignore[arg-type]


def by_attribute(
    scores: Sequence[Score], attributes: Mapping[str, Sequence[str]], every: str = "ALL"
) -> dict[str, list[Score]]:
    """Groups scores by attribute; the group `every` has all scores. attributes: sequence -> its attributes."""
    names = sorted({name for group in attributes.values() for name in group})
    grouped = {name: [s for s in scores if name in attributes.get(s.sequence, ())] for name in names}
    return {every: list(scores)} | {name: group for name, group in grouped.items() if group}


@dataclass(frozen=True)
class Comparison:
    """Success AUC of B minus that of A, on the sequences that both have.

    difference: mean of B - A. low, high: its interval at CONFIDENCE, from a bootstrap over sequences. unpaired:
    sequences that only A or only B has; they are left out.
    """

    sequences: tuple[str, ...]
    unpaired: tuple[str, ...]
    differences: NDArray[np.float64]
    difference: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0

    @property
    def without_worst(self) -> float:
        """Mean of B - A without the sequence in which B loses most: does one sequence alone carry a loss?"""
        return float((self.differences.sum() - self.differences.min()) / (len(self.differences) - 1))

    @property
    def worst(self) -> str:
        """The sequence in which B loses most."""
        return self.sequences[int(self.differences.argmin())]


def compare(first: Sequence[Score], second: Sequence[Score], seed: int = 0) -> Comparison:
    """Paired comparison: the bootstrap resamples sequences together with the scores of A and B.

    Raises SequenceError if the two have fewer than two sequences in common.
    """
    a, b = ({score.sequence: score.auc for score in scores} for scores in (first, second))
    shared = tuple(name for name in a if name in b)
    if len(shared) < 2:
        raise SequenceError(
            f"{len(shared)} sequences are in both; a paired interval needs at least 2; evaluate more sequences"
        )
    differences = np.array([b[name] - a[name] for name in shared])
    resampled = np.random.default_rng(seed).choice(differences, size=(RESAMPLES, len(shared))).mean(axis=1)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Comparison(
        shared, tuple(sorted(a.keys() ^ b.keys())), differences, float(differences.mean()), float(low), float(high)
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    valid = [value for value in values if not np.isnan(value)]
    return float(np.mean(valid)) if valid else float("nan")
