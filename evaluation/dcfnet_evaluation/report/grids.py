"""Tables of the report as grids of text, with the best value of each column or row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dcfnet_evaluation.passes.published import PublishedMean
from dcfnet_evaluation.scores import Score, compare, mean_score
from dcfnet_evaluation.scores.sheet import Sheet
from dcfnet_evaluation.scores.trust import Trust
from dcfnet_evaluation.sequences import SequenceError

MISSING = "-"  # text of a missing value

Choice: TypeAlias = Callable[[Sequence[float]], float] | None  # max or min finds the best value; None: there is none


@dataclass(frozen=True)
class Cell:
    """A value as text. best: whether it is the best one. bar: length of its bar, 0 to 1; None for no bar."""

    text: str
    best: bool = False
    bar: float | None = None


@dataclass(frozen=True)
class Row:
    """A row: name, note beside the name, and one cell per column."""

    name: str
    cells: Sequence[Cell]
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """A table. first: heading of the row names. columns: name -> meaning."""

    first: str
    columns: Mapping[str, str]
    rows: Sequence[Row]


def accuracy_grid(sheet: Sheet, unaware: Mapping[str, float], published: Sequence[PublishedMean] = ()) -> Grid:
    """Means over sequences, a row for each tracker. unaware: tracker -> share, see `moments.unaware_share`."""
    means = [mean_score(scores) for scores in sheet.scores.values()]
    columns = {
        "AUC": ("success AUC", _column([m.auc for m in means], "{:.3f}", max)),
        "to first": (
            "AUC minus that of the first tracker, paired by sequence, and its 95 % interval",
            _differences(sheet),
        ),
        "DP@20": (
            "share of frames with a centre error of at most 20 px",
            _column([m.precision for m in means], "{:.3f}", max),
        ),
        "OP@0.5": (
            "share of frames with an overlap above 0.5",
            _column([m.overlap_precision for m in means], "{:.3f}", max),
        ),
        "CLE px": ("mean centre error", _column([m.centre_error for m in means], "{:.1f}", min)),
        "lost": ("share of updates with the status lost", _column([m.lost for m in means], "{:.1%}")),
        "unaware": (
            "share of updates that miss the target although the status is tracked",
            _column([unaware[name] for name in sheet.scores], "{:.1%}", min),
        ),
        "failed": ("frames without a usable box", _column([float(m.failures) for m in means], "{:.0f}")),
    }
    grid = _grid("tracker", list(sheet.scores), columns)
    empty = [Cell(MISSING)] * (len(columns) - 3)
    published_rows = [
        Row(name, [Cell(f"{auc:.3f}"), Cell(MISSING), Cell(f"{precision:.3f}"), *empty], "published")
        for name, auc, precision in published
    ]
    return Grid(grid.first, grid.columns, [*grid.rows, *published_rows])


def trust_grid(trust: Mapping[str, Trust]) -> Grid:
    """How well each tracker knows whether its box is on the target: a row for each tracker."""
    found = list(trust.values())
    names = [f"{name}: {each.measure}" for name, each in trust.items()]
    columns = {
        "AUROC": (
            "probability that a good frame (overlap above 0.5) has a higher number than another frame; 0.5 is chance",
            _column([t.auroc for t in found], "{:.3f}", max),
        ),
        "error": (
            "expected calibration error: difference between confidence and share of good frames, mean over frames",
            _column([t.error for t in found], "{:.3f}", min),
        ),
        "failed": ("share of frames with an overlap below 0.1", _column([t.failed for t in found], "{:.1%}", min)),
        "told": (
            "share of the failed frames with the status uncertain or lost",
            _column([t.told for t in found], "{:.1%}", max),
        ),
        "false": (
            "share of the good frames with the status uncertain or lost",
            _column([t.false_alarms for t in found], "{:.1%}", min),
        ),
        "false lost": (
            "share of the good frames with the status lost",
            _column([t.false_lost for t in found], "{:.1%}", min),
        ),
        "delay": (
            "median number of frames from the start of a loss (at least 5 failed frames in a row) to the first status "
            "that is not tracked; never: most losses are not told",
            [
                Cell("never") if t.delay == math.inf else cell
                for t, cell in zip(found, _column([t.delay for t in found], "{:.0f}"), strict=True)
            ],
        ),
        "losses": ("number of losses", _column([float(t.losses) for t in found], "{:.0f}")),
        "recovered": (
            "share of good frames among the frames after the first failed frame of each pass",
            _column([t.recovered for t in found], "{:.1%}", max),
        ),
    }
    return _grid("tracker: number that AUROC ranks", names, columns)


def times_grid(sheet: Sheet) -> Grid:
    """Frames per second and times in ms, a row for each tracker; peak memory if it was measured."""
    timings = sheet.timings
    columns = {
        "FPS": (
            "frames per second at the median time",
            _column([t.fps or math.nan for t in timings.values()], "{:.1f}", max),
        )
    }
    for percent in next(iter(timings.values())).quantiles:
        times = [t.quantiles[percent] if t.updates else math.nan for t in timings.values()]
        columns[f"p{percent:g} ms"] = (
            f"{percent:g} % of the updates take at most this time",
            _column(times, "{:.2f}", min),
        )
    init_times = [t.init if t.updates else math.nan for t in timings.values()]
    columns["init ms"] = ("median time of init", _column(init_times, "{:.2f}", min))
    if sheet.memory:
        memory = [sheet.memory.get(name, math.nan) / 1e6 for name in timings]
        columns["MB"] = ("peak resident memory of a separate process", _column(memory, "{:.0f}", min))
    return _grid("tracker", list(timings), columns)


def clock_grid(sheet: Sheet) -> Grid:
    """Success AUC offline and in real time at each camera rate, a row for each tracker that ran."""
    names = list(next(iter(sheet.against_clock.values())))
    by_column = {"offline": sheet.scores} | {f"{rate} Hz": scores for rate, scores in sheet.against_clock.items()}
    columns = {
        key: ("success AUC", _column([mean_score(scores[name]).auc for name in names], "{:.3f}", max))
        for key, scores in by_column.items()
    }
    return _grid("tracker", names, columns)


def stages_grid(sheet: Sheet) -> Grid:
    """Mean time of each stage of an update, ms, and its share: a row for each stage, a column for each tracker."""
    by_tracker = {name: timing.stages for name, timing in sheet.timings.items() if timing.stages}
    stages = list(dict.fromkeys(stage for stage_times in by_tracker.values() for stage in stage_times))
    columns = {
        name: ("ms", [_stage_cell(stage_times.get(stage, math.nan), sum(stage_times.values())) for stage in stages])
        for name, stage_times in by_tracker.items()
    }
    return _grid("stage", stages, columns)


def attributes_grid(groups: Mapping[str, Mapping[str, Sequence[Score]]]) -> Grid:
    """Success AUC: a row for each attribute, a column for each tracker. groups: tracker -> attribute -> scores."""
    first = next(iter(groups.values()))
    cells = _rows_with_bars([[mean_score(by_attribute[key]).auc for key in first] for by_attribute in groups.values()])
    rows = [Row(key, row, f"{len(first[key])}") for key, row in zip(first, cells, strict=True)]
    return Grid("attribute", dict.fromkeys(groups, "success AUC"), rows)


def sequences_grid(sheet: Sheet) -> Grid:
    """Success AUC: a row for each sequence, a column for each tracker. The best value of each row is marked."""
    names = [score.sequence for score in next(iter(sheet.scores.values()))]
    cells = _rows_with_bars([[score.auc for score in scores] for scores in sheet.scores.values()])
    rows = [Row(name, row) for name, row in zip(names, cells, strict=True)]
    return Grid("sequence", dict.fromkeys(sheet.scores, "success AUC"), rows)


def _grid(first: str, names: Sequence[str], columns: Mapping[str, tuple[str, Sequence[Cell]]]) -> Grid:
    rows = [Row(name, row) for name, *row in zip(names, *(cells for _, cells in columns.values()), strict=True)]
    return Grid(first, {key: meaning for key, (meaning, _) in columns.items()}, rows)


def _column(values: Sequence[float], form: str, choose: Choice = None) -> list[Cell]:
    """The values as text. Marks all values whose text equals that of the best; a single value is not marked."""
    finite = [value for value in values if math.isfinite(value)]
    best = form.format(choose(finite)) if choose and len(finite) > 1 else None
    return [
        Cell(text, text == best) if math.isfinite(value) else Cell(MISSING)
        for value, text in ((value, form.format(value)) for value in values)
    ]


def _rows_with_bars(columns: Sequence[Sequence[float]]) -> list[list[Cell]]:
    """Converts columns of scores, 0 to 1, to rows of cells with bars. The best value of each row is marked."""
    marked = [_column(row, "{:.3f}", max) for row in zip(*columns, strict=True)]
    return [
        [Cell(cell.text, cell.best, value) for cell, value in zip(cells, row, strict=True)]
        for cells, row in zip(marked, zip(*columns, strict=True), strict=True)
    ]


def _differences(sheet: Sheet) -> list[Cell]:
    first, *others = sheet.scores.values()
    return [Cell(MISSING), *(Cell(_difference(first, scores)) for scores in others)]


def _difference(first: Sequence[Score], second: Sequence[Score]) -> str:
    try:
        comparison = compare(first, second)
    except SequenceError:  # one sequence has no interval
        return f"{mean_score(second).auc - mean_score(first).auc:+.3f}"
    return f"{comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"


def _stage_cell(milliseconds: float, total: float) -> Cell:
    if not math.isfinite(milliseconds) or not total:
        return Cell(MISSING)
    return Cell(f"{milliseconds:.2f}", bar=milliseconds / total)
