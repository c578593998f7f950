"""Two benchmarks against each other: ratios B / A of every tracker, paired by sequence, and whether B is too slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dcfnet_evaluation.bench.figures import Course, Interval
from dcfnet_evaluation.bench.sheet import Bench, BenchError

ALIKE = ("layout", "dataset", "size", "frames", "warm_up", "targets")  # of a run; the rest may differ
SAME_MACHINE = ("processor", "cores", "opencv_threads", "threads")
P50, P99, FPS = "p50", "p99", "FPS"

Figure = Callable[[Course], float]


@dataclass(frozen=True)
class Change:
    """One tracker. ratios: figure -> B / A, over the sequences; times in p50, p99 and stages, so above 1 is slower.

    gated: whether the gate looks at it.
    """

    tracker: str
    ratios: Mapping[str, Interval]
    gated: bool

    def slower(self, gate: float) -> bool:
        """Whether B takes longer by more than the gate, beyond the interval: at the median, or over all updates."""
        return self.ratios[P50].low > 1 + gate or self.ratios[FPS].high < 1 / (1 + gate)


def compare(first: Bench, second: Bench, tracker: str | None = None) -> list[Change]:
    """The changes of all trackers that both have, or of the one named.

    OpenCV's are not gated unless named: they change with the machine alone. Raises BenchError for runs that were not
    made alike and for a tracker that is not in both.
    """
    check_alike(first, second)
    names = [name for name in first.figures if name in second.figures]
    if tracker is not None and tracker not in names:
        raise BenchError(f"no tracker {tracker!r} in both; there are {', '.join(names) or 'none'}")
    if not names:
        told = f"{', '.join(first.figures)} in A, {', '.join(second.figures)} in B"
        raise BenchError(f"no tracker is in both: {told}; give both runs the same --preset and --model")
    chosen = names if tracker is None else [tracker]
    return [_change(name, first, second, gated=tracker is not None) for name in chosen]


def check_alike(first: Bench, second: Bench) -> None:
    """Raises BenchError for runs that were not made alike, and for fewer than two sequences."""
    if differing := [key for key in ALIKE if first.run.get(key) != second.run.get(key)]:
        told = "; ".join(f"{key} {first.run.get(key)} in A, {second.run.get(key)} in B" for key in differing)
        raise BenchError(f"A and B were not run alike: {told:.400}; run both with the same options")
    if len(first.run["frames"]) < 2:
        raise BenchError("1 sequence; a paired interval needs at least two: run it on more of them")


def machines_differ(first: Bench, second: Bench) -> list[str]:
    """What differs between the machines that decides over speed, a phrase each."""
    keys = [key for key in SAME_MACHINE if first.machine.get(key) != second.machine.get(key)]
    return [f"{key} {first.machine.get(key)} in A, {second.machine.get(key)} in B" for key in keys]


def _change(name: str, first: Bench, second: Bench, gated: bool) -> Change:
    a, b = first.figures[name].sequences, second.figures[name].sequences
    figures: dict[str, Figure] = {
        P50: lambda course: course.spread.p50,
        P99: lambda course: course.spread.p99,
        FPS: lambda course: course.fps,
        **{stage: _stage(stage) for stage in first.figures[name].stages},
    }
    ratios = {figure: found for figure, of in figures.items() if (found := _paired(a, b, of))}
    if not {P50, FPS} <= ratios.keys():
        raise BenchError(f"{name}: made no update in A or in B; leave it out of both runs")
    peer = first.trackers.get(name, {}).get("kind") == "opencv"
    return Change(name, ratios, gated or not peer)


def _stage(name: str) -> Figure:
    return lambda course: course.stages.get(name, 0.0)


def _paired(a: Mapping[str, Course], b: Mapping[str, Course], figure: Figure) -> Interval | None:
    """B / A over the sequences where both have the figure."""
    pairs = [(figure(a[name]), figure(b[name])) for name in a if name in b]
    ratios = [theirs / ours for ours, theirs in pairs if ours > 0 and theirs > 0]
    return Interval.of(ratios) if ratios else None
