"""Comparison of two benchmarks: ratios B / A of every tracker, paired by sequence, and whether B is too slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dcfnet_evaluation.bench.sheet import Bench, BenchError
from dcfnet_evaluation.bench.times.figures import Interval, SequenceFigures

REQUIRED_EQUAL = ("layout", "dataset", "size", "frames", "warm_up", "targets")  # settings of a run
SAME_MACHINE = ("processor", "cores", "opencv_threads", "threads")
P50, P99, FPS = "p50", "p99", "FPS"

Measure = Callable[[SequenceFigures], float]


@dataclass(frozen=True)
class Change:
    """The change of one tracker. ratios: measure -> B / A over the sequences.

    p50, p99 and stages are times: above 1 is slower. FPS: below 1 is slower. gated: whether the gate applies.
    """

    tracker: str
    ratios: Mapping[str, Interval]
    gated: bool

    def slower(self, gate: float) -> bool:
        """Whether the whole interval of p50 or of FPS is slower by more than the gate."""
        return self.ratios[P50].low > 1 + gate or self.ratios[FPS].high < 1 / (1 + gate)


def compare(first: Bench, second: Bench, tracker: str | None = None) -> list[Change]:
    """The changes of all trackers in both benchmarks, or of the named one.

    The gate applies to a tracker of OpenCV only if it is named: such a tracker changes only with the machine. Raises
    BenchError if the settings of the runs differ or the tracker is not in both.
    """
    check_settings(first, second)
    names = [name for name in first.figures if name in second.figures]
    if tracker is not None and tracker not in names:
        raise BenchError(f"--tracker {tracker}: must be in both A and B; both have {', '.join(names) or 'none'}")
    if not names:
        names_text = f"{', '.join(first.figures)} in A, {', '.join(second.figures)} in B"
        raise BenchError(f"no tracker is in both: {names_text}; run both with the same --preset and --model")
    chosen = names if tracker is None else [tracker]
    return [_change(name, first, second, gated=tracker is not None) for name in chosen]


def check_settings(first: Bench, second: Bench) -> None:
    """Raises BenchError if the settings of the two runs differ, or if there are fewer than two sequences."""
    if differing := [key for key in REQUIRED_EQUAL if first.run.get(key) != second.run.get(key)]:
        differences = "; ".join(f"{key} {first.run.get(key)} in A, {second.run.get(key)} in B" for key in differing)
        raise BenchError(f"A and B have different settings: {differences:.400}; run both with the same options")
    if len(first.run["frames"]) < 2:
        raise BenchError(
            f"{len(first.run['frames'])} sequences; a paired interval needs at least 2; run on more sequences"
        )


def machines_differ(first: Bench, second: Bench) -> list[str]:
    """Differences between the machines that affect speed, one text each."""
    keys = [key for key in SAME_MACHINE if first.machine.get(key) != second.machine.get(key)]
    return [f"{key} {first.machine.get(key)} in A, {second.machine.get(key)} in B" for key in keys]


def _change(name: str, first: Bench, second: Bench, gated: bool) -> Change:
    a, b = first.figures[name].sequences, second.figures[name].sequences
    measures: dict[str, Measure] = {
        P50: lambda sequence: sequence.spread.p50,
        P99: lambda sequence: sequence.spread.p99,
        FPS: lambda sequence: sequence.fps,
        **{stage: _stage_measure(stage) for stage in first.figures[name].stages},
    }
    ratios = {measure: ratio for measure, read in measures.items() if (ratio := _paired(a, b, read))}
    if not {P50, FPS} <= ratios.keys():
        raise BenchError(f"{name}: has no updates in A or in B; leave it out of both runs")
    peer = first.trackers.get(name, {}).get("kind") == "opencv"
    return Change(name, ratios, gated or not peer)


def _stage_measure(name: str) -> Measure:
    return lambda sequence: sequence.stages.get(name, 0.0)


def _paired(a: Mapping[str, SequenceFigures], b: Mapping[str, SequenceFigures], measure: Measure) -> Interval | None:
    """B / A over the sequences in which both have the measure."""
    pairs = [(measure(a[name]), measure(b[name])) for name in a if name in b]
    ratios = [b_value / a_value for a_value, b_value in pairs if a_value > 0 and b_value > 0]
    return Interval.of(ratios) if ratios else None
