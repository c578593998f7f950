"""Scores of sequences: written whole as JSON, read again, compared pair by pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from dcfnet.sinks import write_whole
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.sequences import SequenceError

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """Scores of one sequence: means over its passes; lost is the share of updates that answered LOST."""

    sequence: str
    frames: int
    auc: float
    precision: float
    lost: float
    fps: float

    @classmethod
    def of(cls, passes: Sequence[Pass]) -> Score:
        """Scores of the passes over one sequence: one of OPE, up to 20 of TRE, 12 of SRE."""
        updates = sum(len(done.psr) for done in passes)
        seconds = sum(done.seconds for done in passes)
        return cls(
            sequence=passes[0].sequence.name,
            frames=sum(len(done.boxes) for done in passes),
            auc=float(np.mean([done.auc for done in passes])),
            precision=float(np.mean([done.precision for done in passes])),
            lost=sum(int(done.lost.sum()) for done in passes) / max(updates, 1),
            fps=updates / seconds if seconds else 0.0,
        )


def write_scores(scores: Sequence[Score], file: Path) -> None:
    """Writes the scores as JSON, whole or not at all."""
    write_whole((json.dumps([asdict(score) for score in scores], indent=1) + "\n").encode(), file)


def read_scores(file: Path) -> list[Score]:
    """Scores that `write_scores` wrote. Raises SequenceError naming a file that is none."""
    try:
        scores = [Score(**row) for row in json.loads(file.read_text())]
        # NaN would pass every gate, so it is no score
        unusable = [score.sequence for score in scores if not 0 <= score.auc <= 1]
    except (OSError, ValueError, TypeError) as error:
        raise SequenceError(f"{file}: not scores that dcfnet-eval wrote ({error})") from error
    if unusable:
        raise SequenceError(f"{file}: success AUC of {', '.join(unusable)} is not in 0 to 1")
    return scores


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
