"""Tables of scores for a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dcfnet_evaluation.scores.sequence_scores import Comparison, Score, mean_score
from dcfnet_evaluation.scores.sheet import Sheet

MAX_TERMINAL_TRACKERS = 7  # score columns that fit on a terminal; the report shows all trackers


def print_scores(sheet: Sheet) -> None:
    """Prints all tables of an evaluation. Frames without a usable box are named on standard error."""
    console = Console()
    if not any(sheet.scores.values()):
        print("the dataset does not publish the true boxes of these sequences: nothing is scored", file=sys.stderr)
        return
    if len(sheet.scores) == 1:
        console.print(tracker_table(sheet.tracker()))
    else:
        if len(sheet.scores) <= MAX_TERMINAL_TRACKERS:
            console.print(sequences_table(sheet))
        console.print(trackers_table(sheet))
    if sheet.trust:
        console.print(trust_table(sheet))
    if sheet.timings:
        console.print(times_table(sheet))
        for line in stages_text(sheet):
            console.print(f"{line} ms", markup=False, highlight=False, soft_wrap=True)
    for tracker, scores in sheet.scores.items():
        failed = [f"{score.sequence} ({score.failures})" for score in scores if score.failures]
        if failed:
            print(f"{tracker}: frames without a usable box: {', '.join(failed)}", file=sys.stderr)


def tracker_table(scores: Sequence[Score]) -> Table:
    """Scores of one tracker: a row for each sequence, and the mean."""
    table = empty_table("sequence", "frames", "AUC", "prec.", "OP@0.5", "CLE px", "lost", "failed", "FPS")
    for score in scores:
        table.add_row(escape(score.sequence), *_cells(score))
    table.add_section()
    table.add_row("mean", *_cells(mean_score(scores)))
    return table


def trackers_table(sheet: Sheet) -> Table:
    """Scores of several trackers: a row for each tracker, means over the sequences."""
    table = empty_table("tracker", "AUC", "prec.", "OP@0.5", "CLE px", "lost", "failed")
    for name, scores in sheet.scores.items():
        table.add_row(escape(name), *_cells(mean_score(scores))[1:-1])
    return table


def times_table(sheet: Sheet) -> Table:
    """Times of several trackers: a row for each tracker, with the real-time AUC at each camera rate."""
    rates = [f"{rate} Hz" for rate in sheet.against_clock]
    table = empty_table("tracker", "FPS p50", "p50 ms", "p90", "p99", "p99.9", "MB", *rates)
    for name, timing in sheet.timings.items():
        if not timing.updates:
            continue
        memory = sheet.memory.get(name)
        table.add_row(
            escape(name),
            f"{timing.fps:.1f}",
            *(f"{ms:.1f}" for ms in timing.quantiles.values()),
            f"{memory / 1e6:.0f}" if memory else "-",
            *(f"{mean_score(scores[name]).auc:.3f}" for scores in sheet.against_clock.values()),
        )
    return table


def trust_table(sheet: Sheet) -> Table:
    """How well each tracker knows whether its box is on the target: a row for each measure of `trust.Trust`."""
    table, found = empty_table("trust", *map(escape, sheet.trust)), list(sheet.trust.values())
    table.add_row("number that AUROC ranks", *(trust.measure for trust in found))
    for name, form, values in [
        ("AUROC", "{:.3f}", [trust.auroc for trust in found]),
        ("calibration error", "{:.3f}", [trust.error for trust in found]),
        ("failed", "{:.1%}", [trust.failed for trust in found]),
        ("told", "{:.1%}", [trust.told for trust in found]),
        ("lost", "{:.1%}", [trust.lost for trust in found]),
        ("false", "{:.1%}", [trust.false_alarms for trust in found]),
        ("false lost", "{:.1%}", [trust.false_lost for trust in found]),
        ("recovered", "{:.1%}", [trust.recovered for trust in found]),
    ]:
        table.add_row(name, *(_text(value, form) for value in values))
    table.add_row("delay", *("never" if t.delay == math.inf else _text(t.delay, "{:.0f}") for t in found))
    return table


def stages_text(sheet: Sheet) -> list[str]:
    """Mean time of each stage, a line for every tracker that records stages."""
    by_tracker = {name: timing.stages for name, timing in sheet.timings.items() if timing.stages}
    return [
        f"{name}: " + ", ".join(f"{key} {ms:.1f}" for key, ms in stages.items()) for name, stages in by_tracker.items()
    ]


def sequences_table(sheet: Sheet) -> Table:
    """Success AUC of several trackers: a row for each sequence."""
    table = empty_table("AUC", *sheet.scores)
    for row in zip(*sheet.scores.values(), strict=True):
        table.add_row(escape(row[0].sequence), *(f"{score.auc:.3f}" for score in row))
    return table


def comparison_table(comparison: Comparison) -> Table:
    """B - A in success AUC: a row for each sequence."""
    table = empty_table("sequence", "B - A")
    for name, difference in zip(comparison.sequences, comparison.differences, strict=True):
        table.add_row(escape(name), f"{difference:+.3f}")
    return table


def empty_table(first: str, *columns: str) -> Table:
    """A table without rows. Every column but the first is aligned to the right."""
    table = Table()
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(escape(name), justify="right")
    return table


def _text(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "-"


def _cells(score: Score) -> list[str]:
    values = (score.auc, score.precision, score.overlap_precision)
    figures = [str(score.frames), *(f"{value:.3f}" for value in values), f"{score.centre_error:.1f}"]
    return [*figures, f"{score.lost:.1%}", str(score.failures), f"{score.fps:.1f}" if score.fps else "-"]
