"""The figures of a benchmark: how long updates take, per sequence and over all, and ratios with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcfnet_evaluation.bench.kinds import KINDS, kinds_of
from dcfnet_evaluation.bench.laps import Laps, counted
from dcfnet_evaluation.passes import Pass, failures
from dcfnet_evaluation.scores import CONFIDENCE, RESAMPLES

QUANTILES = (50, 90, 99, 99.9)  # per cent of the updates that take no longer


@dataclass(frozen=True)
class Spread:
    """Times of updates, milliseconds. tail: p99 / p50. All are 0 where there is no update."""

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
        """The spread of the updates that were made, seconds (N,); one that a broken tracker never made is 0 there."""
        made = seconds[seconds > 0] * 1000
        if not len(made):
            return cls(0, *[0.0] * 7)
        p50, p90, p99, p999 = np.percentile(made, QUANTILES).tolist()
        return cls(len(made), float(made.mean()), p50, p90, p99, p999, float(made.max()), p99 / p50)


@dataclass(frozen=True)
class Interval:
    """A median over sequences and the bounds of its CONFIDENCE interval, by bootstrap over them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike, seed: int = 0) -> Interval:
        """The interval of the median of N > 0 values; of a single one it is that value alone."""
        array = np.asarray(values, dtype=np.float64)
        drawn = np.median(np.random.default_rng(seed).choice(array, size=(RESAMPLES, len(array))), axis=1)
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return cls(float(np.median(array)), float(low), float(high))


@dataclass(frozen=True)
class Course:
    """One tracker on one sequence. init: median, ms. fps: updates a second, all of them. stages: mean ms of an update.

    spread: of all updates; kinds: of those of one kind of frame. failures: frames without a usable box.
    """

    fps: float
    init: float
    spread: Spread
    kinds: Mapping[str, Spread]
    stages: Mapping[str, float]
    failures: int


@dataclass(frozen=True)
class Cost:
    """Many targets in one MultiTracker. frame: ms of an update of all of them; each: the same per target.

    ratio: of `each` to that of a single target, over the sequences. lost: share of answers that said so.
    """

    targets: int
    frame: float
    each: float
    ratio: Interval
    lost: float


@dataclass(frozen=True)
class Figures:
    """One tracker. fps: median over the sequences. init: median, ms. spread, kinds: over the updates of all sequences.

    stages: mean ms of an update. ratio: of its FPS to the reference's, by sequence. memory: peak, bytes. cold_start: of
    dcfnet-run, from its start to its first tracked box, median, seconds. None, or empty: not measured.
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
    sequences: Mapping[str, Course]


def course_of(laps: Laps) -> Course:
    """The figures of a tracker on one sequence."""
    updates = counted(laps.passes, laps.warm_up)
    made = updates[updates > 0]
    return Course(
        fps=len(made) / float(made.sum()) if len(made) else 0.0,
        init=_init(laps.passes),
        spread=Spread.of(updates),
        kinds=_by_kind([laps]),
        stages=_stages([laps]),
        failures=sum(failure.frames for failure in failures(laps.passes)),
    )


def figures_of(
    laps: Mapping[str, Laps],
    reference: Mapping[str, Laps] | None = None,
    memory: int | None = None,
    cold_start: float | None = None,
    targets: Sequence[Cost] = (),
) -> Figures:
    """The figures of a tracker; laps, and those of the reference: sequence -> what was timed there."""
    courses = {name: course_of(found) for name, found in laps.items()}
    everything = list(laps.values())
    return Figures(
        fps=float(np.median([course.fps for course in courses.values()])),
        init=_init([done for found in everything for done in found.passes]),
        spread=Spread.of(np.concatenate([counted(found.passes, found.warm_up) for found in everything])),
        kinds=_by_kind(everything),
        stages=_stages(everything),
        ratio=_ratio(courses, reference) if reference else None,
        memory=memory,
        cold_start=cold_start,
        targets=targets,
        sequences=courses,
    )


def _ratio(courses: Mapping[str, Course], reference: Mapping[str, Laps]) -> Interval | None:
    """Of FPS, over the sequences where both ran."""
    others = {name: course_of(found).fps for name, found in reference.items()}
    ratios = [course.fps / others[name] for name, course in courses.items() if course.fps and others.get(name)]
    return Interval.of(ratios) if ratios else None


def _init(passes: Sequence[Pass]) -> float:
    return float(np.median([done.seconds[0] for done in passes])) * 1000


def _by_kind(everything: Sequence[Laps]) -> dict[str, Spread]:
    """The spread of the updates of each kind of frame; empty where the tracker has no kinds."""
    known = [(found, found.config) for found in everything if found.config is not None]
    if not known:
        return {}
    seconds = np.concatenate([counted(found.passes, found.warm_up) for found, _ in known])
    kinds = np.concatenate([kinds_of(c, done)[found.warm_up :] for found, c in known for done in found.passes])
    return {kind: Spread.of(seconds[kinds == kind]) for kind in KINDS if (kinds == kind).any()}


def _stages(everything: Sequence[Laps]) -> dict[str, float]:
    """Mean milliseconds of the parts of an update, of the passes between clocks."""
    clocked = [(found.clocked.stages, 1 + found.warm_up) for found in everything if found.clocked is not None]
    if not clocked:
        return {}
    names = clocked[0][0]
    return {name: float(np.concatenate([s[name][first:] for s, first in clocked]).mean()) * 1000 for name in names}
