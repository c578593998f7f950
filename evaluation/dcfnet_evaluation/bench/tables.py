"""A benchmark as tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from dcfnet_evaluation.bench.comparison import Change
from dcfnet_evaluation.bench.figures import Interval
from dcfnet_evaluation.bench.sheet import Bench
from dcfnet_evaluation.tables import empty_table

NONE = "-"


def speed_table(bench: Bench) -> Table:
    """How long an update takes, ms, a row a tracker; FPS is the median over the sequences, as is the ratio."""
    ratio = [f"x {bench.reference}", "interval"] if bench.reference else []
    found = empty_table("tracker", "FPS", *ratio, "p50", "p90", "p99", "p99.9")
    for name, figures in bench.figures.items():
        spread = figures.spread
        times = (spread.p50, spread.p90, spread.p99, spread.p999)
        ratios = _two_columns(figures.ratio) if ratio else []
        found.add_row(escape(name), f"{figures.fps:.1f}", *ratios, *map(digits, times))
    return found


def costs_table(bench: Bench) -> Table:
    """What else a tracker costs: mean and worst update, starting on a target, memory, cold start."""
    found = empty_table("tracker", "mean ms", "max ms", "init ms", "MB", "cold start s")
    for name, figures in bench.figures.items():
        memory = f"{figures.memory / 1e6:.0f}" if figures.memory else NONE
        start = f"{figures.cold_start:.2f}" if figures.cold_start else NONE
        times = (figures.spread.mean, figures.spread.max, figures.init)
        found.add_row(escape(name), *map(digits, times), memory, start)
    return found


def kinds_table(bench: Bench) -> Table:
    """Updates by the work that is done in them: only like frames have a tail that means something."""
    found = empty_table("tracker", "frames with", "updates", "p50", "p99 ms", "p99 / p50")
    for name, figures in bench.figures.items():
        for kind, spread in figures.kinds.items():
            times = (digits(spread.p50), digits(spread.p99))
            found.add_row(escape(name), kind, str(spread.updates), *times, f"{spread.tail:.2f}")
    return found


def targets_table(bench: Bench) -> Table:
    """The cost of many targets in one MultiTracker."""
    found = empty_table("tracker", "targets", "ms/frame", "ms/target", "of one", "interval", "lost")
    for name, figures in bench.figures.items():
        for cost in figures.targets:
            times = (digits(cost.frame), digits(cost.each))
            found.add_row(escape(name), str(cost.targets), *times, *_two_columns(cost.ratio), f"{cost.lost:.0%}")
    return found


def stages_text(bench: Bench) -> list[str]:
    """Where the time of a frame goes, a line a tracker whose parts can be told apart."""
    known = {name: figures.stages for name, figures in bench.figures.items() if figures.stages}
    return [f"{name}: " + ", ".join(f"{key} {ms:.2f}" for key, ms in found.items()) for name, found in known.items()]


def comparison_table(changes: Sequence[Change], gate: float) -> Table:
    """B / A, a row a figure of a tracker."""
    found = empty_table("tracker", "figure", "B / A", "interval", "")
    for change in changes:
        verdict = "slower" if change.gated and change.slower(gate) else ""
        for figure, ratio in change.ratios.items():
            row = (figure, f"{ratio.median:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}")
            found.add_row(escape(change.tracker), *row, verdict if figure == next(iter(change.ratios)) else "")
        found.add_section()
    return found


def digits(value: float) -> str:
    """Three digits that count: 0.168, 2.12, 38.4, 120."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def interval_text(interval: Interval | None) -> str:
    """A ratio with its bounds, "2.61 (2.50 to 2.70)"."""
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})" if interval else NONE


def _two_columns(interval: Interval | None) -> list[str]:
    """The same for a terminal, where columns are narrow."""
    return [digits(interval.median), f"{digits(interval.low)}-{digits(interval.high)}"] if interval else [NONE, NONE]
