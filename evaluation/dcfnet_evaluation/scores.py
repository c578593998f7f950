"""Scores of sequences, their means, and one set of them against another, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import (
    centre_location_error,
    overlap_precision,
    precision,
    precision_curve,
    scored,
    success_curve,
)
from dcfnet_evaluation.passes import Pass, failures
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """Scores of one tracker on one sequence: means over its passes (one of OPE, up to 20 of TRE, 12 of SRE).

    frames: all that were scored. auc: success AUC. precision: DP at 20 px. overlap_precision: OP at 0.5.
    centre_error: CLE, px, NaN without any box. lost: share of updates that answered "lost". failures: frames without a
    usable box. fps: updates a second, of those that were made. success, precisions: the curves, over 21 overlaps and 51
    distances.
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
        """Scores of the passes over a sequence."""
        pairs = [(done.boxes, done.truth(sequence)) for done in passes]
        success = np.mean([success_curve(*pair) for pair in pairs], axis=0)
        answers = [status for done in passes for status in done.statuses[1:]]
        seconds = np.concatenate([done.seconds[1:] for done in passes])
        return cls(
            sequence=sequence.name,
            frames=sum(int(scored(truth).sum()) for _, truth in pairs),
            auc=float(success.mean()),
            precision=float(np.mean([precision(*pair) for pair in pairs])),
            overlap_precision=float(np.mean([overlap_precision(*pair) for pair in pairs])),
            centre_error=_mean([centre_location_error(*pair) for pair in pairs]),
            lost=answers.count("lost") / max(len(answers), 1),
            failures=sum(failure.frames for failure in failures(passes)),
            fps=float((seconds > 0).sum() / seconds.sum()) if seconds.any() else 0.0,
            success=tuple(success.tolist()),
            precisions=tuple(np.mean([precision_curve(*pair) for pair in pairs], axis=0).tolist()),
        )


def mean_score(scores: Sequence[Score], name: str = "mean") -> Score:
    """Mean over sequences, each counting once, as OTB does; frames and failures are sums, fps is the median."""
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
    """The scores of the sequences that have each attribute, and of all; attributes: sequence -> its attributes."""
    names = sorted({name for found in attributes.values() for name in found})
    grouped = {name: [s for s in scores if name in attributes.get(s.sequence, ())] for name in names}
    return {every: list(scores)} | {name: found for name, found in grouped.items() if found}


@dataclass(frozen=True)
class Comparison:
    """What B's success AUC is above A's on the sequences that both have.

    difference: mean of B - A. low, high: its interval at CONFIDENCE, by bootstrap over sequences.
    """

    sequences: tuple[str, ...]
    unpaired: tuple[str, ...]  # only one of the two has them: left out
    differences: NDArray[np.float64]
    difference: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether B is worse beyond the interval."""
        return self.high < 0


def compare(first: Sequence[Score], second: Sequence[Score], seed: int = 0) -> Comparison:
    """Paired comparison of two sets of scores: sequences are resampled together with both their scores.

    Raises SequenceError where the two have fewer than two sequences in common.
    """
    a, b = ({score.sequence: score.auc for score in scores} for scores in (first, second))
    shared = tuple(name for name in a if name in b)
    if len(shared) < 2:
        raise SequenceError(f"{len(shared)} sequences in common; a paired interval needs at least two")
    differences = np.array([b[name] - a[name] for name in shared])
    resampled = np.random.default_rng(seed).choice(differences, size=(RESAMPLES, len(shared))).mean(axis=1)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Comparison(
        shared, tuple(sorted(a.keys() ^ b.keys())), differences, float(differences.mean()), float(low), float(high)
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are there; NaN where there is none."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")
