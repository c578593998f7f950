"""Time of a tracker per frame: quantiles and stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dcfnet_evaluation.passes import Pass

QUANTILES = (50.0, 90.0, 99.0, 99.9)  # percentiles


@dataclass(frozen=True)
class Timing:
    """Times of one tracker, milliseconds, without decoding.

    updates: number of timed updates. init: median time of `init`. mean: mean time of an update. quantiles: percentile
    -> time of an update. stages: stage -> mean time in an update; empty if the tracker does not record stages.
    """

    updates: int
    init: float
    mean: float
    quantiles: Mapping[float, float]
    stages: Mapping[str, float]

    @property
    def fps(self) -> float:
        """Frames per second at the median time of an update."""
        return 1000 / self.quantiles[50.0] if self.quantiles[50.0] else 0.0


def timing(passes: Iterable[Pass]) -> Timing:
    """Times over all passes of a tracker. Updates after an exception of the tracker are left out: they take 0 s."""
    all_passes = list(passes)
    updates = np.concatenate([one_pass.seconds[1:] for one_pass in all_passes]) * 1000
    updates = updates[updates > 0]
    stages = {name: _mean([one_pass.stages[name][1:] for one_pass in all_passes]) for name in all_passes[0].stages}
    percentiles = np.percentile(updates, QUANTILES) if len(updates) else np.zeros(len(QUANTILES))
    return Timing(
        updates=len(updates),
        init=float(np.median([one_pass.seconds[0] for one_pass in all_passes])) * 1000,
        mean=float(updates.mean()) if len(updates) else 0.0,
        quantiles=dict(zip(QUANTILES, percentiles.tolist(), strict=True)),
        stages=stages,
    )


def _mean(parts: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> float:
    joined = np.concatenate(parts)
    return float(joined.mean()) * 1000 if len(joined) else 0.0
