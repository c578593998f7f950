"""An evaluation without a fault and with each of several faults, and the table of both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dcfnet.io.files import write_atomically
from rich.markup import escape
from rich.table import Table

from dcfnet_evaluation.evaluate import EvaluationSettings, Subject, evaluate
from dcfnet_evaluation.faults.catalogue import FAULTS, choose
from dcfnet_evaluation.faults.sequences import with_fault
from dcfnet_evaluation.runs import Progress
from dcfnet_evaluation.scores import mean_score
from dcfnet_evaluation.scores.sheet import Sheet
from dcfnet_evaluation.scores.tables import empty_table
from dcfnet_evaluation.trackers.contenders import Contender

NONE = "none"  # the row without a fault
SUMMARY = "faults.json"


def evaluate_with_faults(
    subject: Subject,
    contenders: Sequence[Contender],
    folder: Path,
    settings: EvaluationSettings,
    names: str,
    fresh: bool = False,
    progress: Callable[[int], Progress] = lambda jobs: lambda name: None,
) -> dict[str, Sheet]:
    """The scores of the trackers without a fault ("none") and with each fault, by its name.

    Each fault has its own folder in `folder`, so a stopped run continues. `faults.json` there has the table. names: of
    the faults, separated by commas, or "all". Other arguments and errors as for `evaluate`. Raises SequenceError for an
    unknown fault before anything runs.
    """
    faults, settings = choose(names), replace(settings, rates=(), memory=False)
    subjects = {NONE: subject}
    for fault in faults:
        sequences = [with_fault(sequence, fault) for sequence in subject.sequences]
        subjects[fault.name] = replace(subject, name=f"{subject.name}, {fault.name}", sequences=sequences)
    sheets = {
        name: evaluate(each, contenders, folder / name, settings, fresh=fresh, progress=progress)[1]
        for name, each in subjects.items()
    }
    content = {"dataset": subject.name, "protocol": settings.protocol, "limit": settings.limit, "faults": rows(sheets)}
    write_atomically((json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), folder / SUMMARY)
    return sheets


def rows(sheets: Mapping[str, Sheet]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Fault -> tracker -> auc, lost (share of frames with this status) and told.

    told: share of the frames with an overlap under 0.1 whose status is not "tracked"; None for a tracker without a
    status, and without such frames.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for fault, sheet in sheets.items():
        for tracker, scores in sheet.scores.items():
            mean = mean_score(scores)
            trust = sheet.trust.get(tracker)
            told = trust.told if trust is not None and math.isfinite(trust.told) else None
            found.setdefault(fault, {})[tracker] = {"auc": mean.auc, "lost": mean.lost, "told": told}
    return found


def faults_table(sheets: Mapping[str, Sheet]) -> Table:
    """A row for each fault: for each tracker the AUC, the share of frames that it calls lost, and of told failures."""
    trackers = list(next(iter(sheets.values())).scores)
    columns = [f"{name}{column}" for name in trackers for column in (" AUC", " lost", " told")]
    table = empty_table("fault", *columns, "what it does")
    table.columns[-1].justify = "left"
    for fault, by_tracker in rows(sheets).items():
        cells = [_cell(key, by_tracker[name][key]) for name in trackers for key in ("auc", "lost", "told")]
        table.add_row(escape(fault), *cells, FAULTS[fault].summary if fault in FAULTS else "as recorded")
        if fault == NONE:
            table.add_section()
    return table


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if key == "auc" else f"{value:.1%}"
