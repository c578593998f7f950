"""Scores: passes and true boxes become numbers, with intervals, tables and one JSON file.

`metrics` has the curves of OTB, `sequence_scores` the score of a sequence, means and paired comparisons. `trust` has
the quality of the confidence, `timing` the times, `got10k` the scores of GOT-10k. `sheet` writes them to scores.json,
and `tables` prints them. Of the package, this room imports `passes` and `sequences` only.
"""

from dcfnet_evaluation.scores.sequence_scores import (
    CONFIDENCE,
    RESAMPLES,
    Comparison,
    Score,
    by_attribute,
    compare,
    mean_score,
)

__all__ = ["CONFIDENCE", "RESAMPLES", "Comparison", "Score", "by_attribute", "compare", "mean_score"]
