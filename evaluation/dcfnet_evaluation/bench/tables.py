"""Tables of a benchmark for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from dcfnet_evaluation.bench.comparison import Change
from dcfnet_evaluation.bench.sheet import Bench
from dcfnet_evaluation.bench.times.figures import Interval
from dcfnet_evaluation.bench.times.kinds import LABELS
from dcfnet_evaluation.scores.tables import empty_table

NONE = "-"


def speed_table(bench: Bench) -> Table:
    """Time of an update, ms, a row for each tracker. FPS and ratio are medians over the sequences."""
    ratio = [f"x {bench.reference}", "interval"] if bench.reference else []
    table = empty_table("tracker", "FPS", *ratio, "p50", "p90", "p99", "p99.9")
    for name, figures in bench.figures.items():
        spread = figures.spread
        times = (spread.p50, spread.p90, spread.p99, spread.p999)
        ratios = _two_columns(figures.ratio) if ratio else []
        table.add_row(escape(name), f"{figures.fps:.1f}", *ratios, *map(digits, times))
    return table


def costs_table(bench: Bench) -> Table:
    """Other costs of a tracker: mean and longest update, init, memory, cold start."""
    table = empty_table("tracker", "mean ms", "max ms", "init ms", "MB", "cold start s")
    for name, figures in bench.figures.items():
        memory = f"{figures.memory / 1e6:.0f}" if figures.memory else NONE
        start = f"{figures.cold_start:.2f}" if figures.cold_start else NONE
        times = (figures.spread.mean, figures.spread.max, figures.init)
        table.add_row(escape(name), *map(digits, times), memory, start)
    return table


def kinds_table(bench: Bench) -> Table:
    """Times of updates by kind of frame. The tail is meaningful only among frames with equal work."""
    table = empty_table("tracker", "frames with", "updates", "p50", "p99 ms", "p99 / p50")
    for name, figures in bench.figures.items():
        for kind, spread in figures.kinds.items():
            times = (digits(spread.p50), digits(spread.p99))
            table.add_row(escape(name), LABELS.get(kind, kind), str(spread.updates), *times, f"{spread.tail:.2f}")
    return table


def targets_table(bench: Bench) -> Table:
    """Cost of many targets in one MultiTracker."""
    table = empty_table("tracker", "targets", "ms/frame", "ms/target", "of one", "interval", "lost")
    for name, figures in bench.figures.items():
        for cost in figures.targets:
            times = (digits(cost.frame), digits(cost.each))
            table.add_row(escape(name), str(cost.targets), *times, *_two_columns(cost.ratio), f"{cost.lost:.0%}")
    return table


def stages_text(bench: Bench) -> list[str]:
    """Mean time of each stage, a line for each tracker that records stages."""
    by_tracker = {name: figures.stages for name, figures in bench.figures.items() if figures.stages}
    return [
        f"{name}: " + ", ".join(f"{key} {ms:.2f}" for key, ms in stages.items()) for name, stages in by_tracker.items()
    ]


def comparison_table(changes: Sequence[Change], gate: float) -> Table:
    """B / A, a row for each measure of a tracker."""
    table = empty_table("tracker", "figure", "B / A", "interval", "")
    for change in changes:
        outcome = "slower" if change.gated and change.slower(gate) else ""
        for measure, ratio in change.ratios.items():
            row = (measure, f"{ratio.median:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}")
            table.add_row(escape(change.tracker), *row, outcome if measure == next(iter(change.ratios)) else "")
        table.add_section()
    return table


def digits(value: float) -> str:
    """The value with two or three significant digits: 0.17, 2.12, 38.4, 120."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def interval_text(interval: Interval | None) -> str:
    """A ratio with its bounds, for example "2.61 (2.50 to 2.70)"."""
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})" if interval else NONE


def _two_columns(interval: Interval | None) -> list[str]:
    """A ratio and its bounds as two short cells for a terminal."""
    return [digits(interval.median), f"{digits(interval.low)}-{digits(interval.high)}"] if interval else [NONE, NONE]
