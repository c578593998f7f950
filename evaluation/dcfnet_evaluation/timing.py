"""How long a tracker takes over a frame: quantiles, and the parts of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dcfnet_evaluation.passes import Pass

QUANTILES = (50.0, 90.0, 99.0, 99.9)  # per cent of the frames that take no longer


@dataclass(frozen=True)
class Timing:
    """Times of one tracker, milliseconds, decoding left out.

    updates: frames timed. init: median of starting. mean, quantiles: of updates; quantiles: per cent -> ms.
    stages: mean of each part of an update, where the tracker's parts could be told apart. fps: 1000 / median.
    """

    updates: int
    init: float
    mean: float
    quantiles: Mapping[float, float]
    stages: Mapping[str, float]

    @property
    def fps(self) -> float:
        """Frames a second at the median time."""
        return 1000 / self.quantiles[50.0] if self.quantiles[50.0] else 0.0


def timing(passes: Iterable[Pass]) -> Timing:
    """Times over all the passes of a tracker; updates that a broken tracker never made are left out."""
    all_passes = list(passes)
    updates = np.concatenate([done.seconds[1:] for done in all_passes]) * 1000
    updates = updates[updates > 0]
    stages = {name: _mean([done.stages[name][1:] for done in all_passes]) for name in all_passes[0].stages}
    found = np.percentile(updates, QUANTILES) if len(updates) else np.zeros(len(QUANTILES))
    return Timing(
        updates=len(updates),
        init=float(np.median([done.seconds[0] for done in all_passes])) * 1000,
        mean=float(updates.mean()) if len(updates) else 0.0,
        quantiles=dict(zip(QUANTILES, found.tolist(), strict=True)),
        stages=stages,
    )


def _mean(parts: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> float:
    joined = np.concatenate(parts)
    return float(joined.mean()) * 1000 if len(joined) else 0.0
