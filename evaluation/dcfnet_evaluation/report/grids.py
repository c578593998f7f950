"""The figures of an evaluation as grids of text, for a page: which stand where, and which of a column is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dcfnet_evaluation.published import PublishedMean
from dcfnet_evaluation.scores import Score, compare, mean_score
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.sheet import Sheet

NOTHING = "-"  # stands where there is no figure

Choice: TypeAlias = Callable[[Sequence[float]], float] | None  # max, min, or no best one


@dataclass(frozen=True)
class Cell:
    """A figure as text. bar: its size beside the others, 0 to 1, where it is drawn as a bar too."""

    text: str
    best: bool = False
    bar: float | None = None


@dataclass(frozen=True)
class Row:
    """A row's name, what is said of it, and a cell a column."""

    name: str
    cells: Sequence[Cell]
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """first: what the rows are. columns: their names, and for a reader who does not know them what they mean."""

    first: str
    columns: Mapping[str, str]
    rows: Sequence[Row]


def accuracy_grid(sheet: Sheet, unaware: Mapping[str, float], published: Sequence[PublishedMean] = ()) -> Grid:
    """Means over sequences, a row a tracker; unaware: tracker -> share of updates, see `moments.unaware_share`."""
    means = [mean_score(scores) for scores in sheet.scores.values()]
    columns = {
        "AUC": ("success AUC", _column([m.auc for m in means], "{:.3f}", max)),
        "to first": ("AUC above the first tracker's, paired by sequence, and its 95 % interval", _differences(sheet)),
        "DP@20": ("share of frames within 20 px", _column([m.precision for m in means], "{:.3f}", max)),
        "OP@0.5": ("share of frames above overlap 0.5", _column([m.overlap_precision for m in means], "{:.3f}", max)),
        "CLE px": ("mean centre error", _column([m.centre_error for m in means], "{:.1f}", min)),
        "lost": ("share of updates that the tracker calls lost", _column([m.lost for m in means], "{:.1%}")),
        "unaware": (
            "share of updates that miss the target and are called tracked",
            _column([unaware[name] for name in sheet.scores], "{:.1%}", min),
        ),
        "failed": ("frames without a usable box", _column([float(m.failures) for m in means], "{:.0f}")),
    }
    grid = _grid("tracker", list(sheet.scores), columns)
    empty = [Cell(NOTHING)] * (len(columns) - 3)
    facts = [
        Row(name, [Cell(f"{auc:.3f}"), Cell(NOTHING), Cell(f"{precision:.3f}"), *empty], "published")
        for name, auc, precision in published
    ]
    return Grid(grid.first, grid.columns, [*grid.rows, *facts])


def times_grid(sheet: Sheet) -> Grid:
    """Milliseconds and frames a second, a row a tracker; peak memory where it was measured."""
    timings = sheet.timings
    columns = {
        "FPS": (
            "frames a second at the median time",
            _column([t.fps or math.nan for t in timings.values()], "{:.1f}", max),
        )
    }
    for percent in next(iter(timings.values())).quantiles:
        found = [t.quantiles[percent] if t.updates else math.nan for t in timings.values()]
        columns[f"p{percent:g} ms"] = (f"{percent:g} % of the updates take no longer", _column(found, "{:.2f}", min))
    started = [t.init if t.updates else math.nan for t in timings.values()]
    columns["init ms"] = ("median of starting", _column(started, "{:.2f}", min))
    if sheet.memory:
        memory = [sheet.memory.get(name, math.nan) / 1e6 for name in timings]
        columns["MB"] = ("peak resident memory of a process of its own", _column(memory, "{:.0f}", min))
    return _grid("tracker", list(timings), columns)


def clock_grid(sheet: Sheet) -> Grid:
    """Success AUC offline and against the clock of each rate, a row a tracker that was run."""
    names = list(next(iter(sheet.against_clock.values())))
    found = {"offline": sheet.scores} | {f"{rate} Hz": scores for rate, scores in sheet.against_clock.items()}
    columns = {
        key: ("success AUC", _column([mean_score(scores[name]).auc for name in names], "{:.3f}", max))
        for key, scores in found.items()
    }
    return _grid("tracker", names, columns)


def stages_grid(sheet: Sheet) -> Grid:
    """Mean milliseconds of the parts of an update and their share, a row a part, a column a tracker."""
    known = {name: timing.stages for name, timing in sheet.timings.items() if timing.stages}
    stages = list(dict.fromkeys(stage for found in known.values() for stage in found))
    columns = {
        name: ("ms", [_part(found.get(stage, math.nan), sum(found.values())) for stage in stages])
        for name, found in known.items()
    }
    return _grid("part of a frame", stages, columns)


def attributes_grid(groups: Mapping[str, Mapping[str, Sequence[Score]]]) -> Grid:
    """Success AUC, a row an attribute, a column a tracker; groups: tracker -> attribute -> scores."""
    first = next(iter(groups.values()))
    cells = _across([[mean_score(found[key]).auc for key in first] for found in groups.values()])
    rows = [Row(key, row, f"{len(first[key])}") for key, row in zip(first, cells, strict=True)]
    return Grid("attribute", dict.fromkeys(groups, "success AUC"), rows)


def sequences_grid(sheet: Sheet) -> Grid:
    """Success AUC, a row a sequence, a column a tracker, the best of each row marked."""
    names = [score.sequence for score in next(iter(sheet.scores.values()))]
    cells = _across([[score.auc for score in scores] for scores in sheet.scores.values()])
    rows = [Row(name, row) for name, row in zip(names, cells, strict=True)]
    return Grid("sequence", dict.fromkeys(sheet.scores, "success AUC"), rows)


def _grid(first: str, names: Sequence[str], columns: Mapping[str, tuple[str, Sequence[Cell]]]) -> Grid:
    rows = [Row(name, row) for name, *row in zip(names, *(cells for _, cells in columns.values()), strict=True)]
    return Grid(first, {key: meaning for key, (meaning, _) in columns.items()}, rows)


def _column(values: Sequence[float], form: str, choose: Choice = None) -> list[Cell]:
    """The values as text, all that equal the best as printed marked; nothing is best alone."""
    there = [value for value in values if math.isfinite(value)]
    best = form.format(choose(there)) if choose and len(there) > 1 else None
    return [
        Cell(text, text == best) if math.isfinite(value) else Cell(NOTHING)
        for value, text in ((value, form.format(value)) for value in values)
    ]


def _across(columns: Sequence[Sequence[float]]) -> list[list[Cell]]:
    """Columns of scores, 0 to 1 -> rows of cells with bars, the best of each row marked."""
    marked = [_column(row, "{:.3f}", max) for row in zip(*columns, strict=True)]
    return [
        [Cell(cell.text, cell.best, value) for cell, value in zip(cells, row, strict=True)]
        for cells, row in zip(marked, zip(*columns, strict=True), strict=True)
    ]


def _differences(sheet: Sheet) -> list[Cell]:
    first, *others = sheet.scores.values()
    return [Cell(NOTHING), *(Cell(_difference(first, scores)) for scores in others)]


def _difference(first: Sequence[Score], second: Sequence[Score]) -> str:
    try:
        found = compare(first, second)
    except SequenceError:  # of a single sequence there is no interval
        return f"{mean_score(second).auc - mean_score(first).auc:+.3f}"
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _part(milliseconds: float, total: float) -> Cell:
    if not math.isfinite(milliseconds) or not total:
        return Cell(NOTHING)
    return Cell(f"{milliseconds:.2f}", bar=milliseconds / total)
