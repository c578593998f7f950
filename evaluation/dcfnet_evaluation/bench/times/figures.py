"""Figures of a benchmark: times of updates per sequence and over all sequences, and ratios with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcfnet_evaluation.bench.times.kinds import KINDS, kinds_of
from dcfnet_evaluation.bench.times.laps import TimedPasses, update_seconds
from dcfnet_evaluation.passes import Pass, failures
from dcfnet_evaluation.scores import CONFIDENCE, RESAMPLES

QUANTILES = (50, 90, 99, 99.9)  # percentiles


@dataclass(frozen=True)
class Spread:
    """Times of updates, milliseconds. tail: p99 / p50. All values are 0 if there is no update."""

    updates: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    tail: float

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Spread:
        """seconds: float64 (N,). Updates after an exception of the tracker did not run; they are 0 and left out."""
        completed = seconds[seconds > 0] * 1000
        if not len(completed):
            return cls(0, *[0.0] * 7)
        p50, p90, p99, p999 = np.percentile(completed, QUANTILES).tolist()
        return cls(len(completed), float(completed.mean()), p50, p90, p99, p999, float(completed.max()), p99 / p50)


@dataclass(frozen=True)
class Interval:
    """A median over sequences and its interval at CONFIDENCE, from a bootstrap over the sequences."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike, seed: int = 0) -> Interval:
        """The median of N > 0 values and its interval. For N = 1 both bounds are the value."""
        samples = np.asarray(values, dtype=np.float64)
        medians = np.median(np.random.default_rng(seed).choice(samples, size=(RESAMPLES, len(samples))), axis=1)
        low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return cls(float(np.median(samples)), float(low), float(high))


@dataclass(frozen=True)
class SequenceFigures:
    """Figures of one tracker on one sequence.

    fps: updates per second, over all updates. init: median, ms. spread: times of all updates. kinds: kind of frame ->
    times of its updates. stages: stage -> mean ms per update. failures: number of frames without a usable box.
    """

    fps: float
    init: float
    spread: Spread
    kinds: Mapping[str, Spread]
    stages: Mapping[str, float]
    failures: int


@dataclass(frozen=True)
class Cost:
    """Cost of `targets` targets in one MultiTracker. frame: ms of an update of all targets. each: ms per target.

    ratio: `each` divided by the time of a single target, over the sequences. lost: share of results with status "lost".
    """

    targets: int
    frame: float
    each: float
    ratio: Interval
    lost: float


@dataclass(frozen=True)
class Figures:
    """Figures of one tracker. None or empty: not measured.

    fps: median over the sequences. init: median, ms. spread, kinds: times over the updates of all sequences. stages:
    stage -> mean ms per update. ratio: its FPS divided by that of the reference, paired by sequence. memory: peak,
    bytes. cold_start: median time from the start of dcfnet-run to its first tracked box, seconds.
    """

    fps: float
    init: float
    spread: Spread
    kinds: Mapping[str, Spread]
    stages: Mapping[str, float]
    ratio: Interval | None
    memory: int | None
    cold_start: float | None
    targets: Sequence[Cost]
    sequences: Mapping[str, SequenceFigures]


def sequence_figures(timed_passes: TimedPasses) -> SequenceFigures:
    """Computes the figures of a tracker on one sequence."""
    updates = update_seconds(timed_passes.passes, timed_passes.warm_up)
    completed = updates[updates > 0]
    return SequenceFigures(
        fps=len(completed) / float(completed.sum()) if len(completed) else 0.0,
        init=_init(timed_passes.passes),
        spread=Spread.of(updates),
        kinds=_by_kind([timed_passes]),
        stages=_stages([timed_passes]),
        failures=sum(failure.frames for failure in failures(timed_passes.passes)),
    )


def figures_of(
    timed_passes: Mapping[str, TimedPasses],
    reference: Mapping[str, TimedPasses] | None = None,
    memory: int | None = None,
    cold_start: float | None = None,
    targets: Sequence[Cost] = (),
) -> Figures:
    """Computes the figures of a tracker. timed_passes, reference: sequence -> timed passes."""
    by_sequence = {name: sequence_figures(timed) for name, timed in timed_passes.items()}
    all_passes = list(timed_passes.values())
    return Figures(
        fps=float(np.median([sequence.fps for sequence in by_sequence.values()])),
        init=_init([one_pass for timed in all_passes for one_pass in timed.passes]),
        spread=Spread.of(np.concatenate([update_seconds(timed.passes, timed.warm_up) for timed in all_passes])),
        kinds=_by_kind(all_passes),
        stages=_stages(all_passes),
        ratio=_ratio(by_sequence, reference) if reference else None,
        memory=memory,
        cold_start=cold_start,
        targets=targets,
        sequences=by_sequence,
    )


def _ratio(by_sequence: Mapping[str, SequenceFigures], reference: Mapping[str, TimedPasses]) -> Interval | None:
    """Ratio of FPS over the sequences that both ran."""
    reference_fps = {name: sequence_figures(timed).fps for name, timed in reference.items()}
    ratios = [
        sequence.fps / reference_fps[name]
        for name, sequence in by_sequence.items()
        if sequence.fps and reference_fps.get(name)
    ]
    return Interval.of(ratios) if ratios else None


def _init(passes: Sequence[Pass]) -> float:
    return float(np.median([one_pass.seconds[0] for one_pass in passes])) * 1000


def _by_kind(all_passes: Sequence[TimedPasses]) -> dict[str, Spread]:
    """Kind of frame -> times of its updates; empty for trackers without a config."""
    with_config = [(timed, timed.config) for timed in all_passes if timed.config is not None]
    if not with_config:
        return {}
    seconds = np.concatenate([update_seconds(timed.passes, timed.warm_up) for timed, _ in with_config])
    kinds = np.concatenate(
        [kinds_of(c, one_pass)[timed.warm_up :] for timed, c in with_config for one_pass in timed.passes]
    )
    return {kind: Spread.of(seconds[kinds == kind]) for kind in KINDS if (kinds == kind).any()}


def _stages(all_passes: Sequence[TimedPasses]) -> dict[str, float]:
    """Stage -> mean ms per update, from the passes with clocks."""
    clocked = [(timed.clocked.stages, 1 + timed.warm_up) for timed in all_passes if timed.clocked is not None]
    if not clocked:
        return {}
    names = clocked[0][0]
    return {name: float(np.concatenate([s[name][first:] for s, first in clocked]).mean()) * 1000 for name in names}
