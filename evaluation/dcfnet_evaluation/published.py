"""Results of other trackers: their boxes from raw result files, and tables of their published scores."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, read_boxes

COLUMNS = ("tracker", "sequence", "auc", "prec20")


def read_results(folder: Path, sequences: Sequence[AnnotatedSequence], one_based: bool = True) -> dict[str, Pass]:
    """The boxes that a tracker gave, one file a sequence, as passes over whole sequences: name -> pass.

    folder: holds NAME.txt, in any case of letters, with a row x,y,w,h for every frame of the sequence, as the OTB
    benchmark and the got10k toolkit write them. one_based: whether a frame's first pixel is 1 in them, as in OTB's.
    Rows of NaN, or without a size, are frames without a box. The first box is the true one, as the benchmark counts it.
    The files tell no times and no statuses: seconds are 0, statuses "".

    Raises SequenceError naming what is missing, and the file and line of what does not fit.
    """
    if not folder.is_dir():
        raise SequenceError(f"{folder}: no folder of result files")
    files = {file.stem.lower(): file for file in sorted(folder.iterdir()) if file.suffix.lower() == ".txt"}
    missing = [sequence.name for sequence in sequences if sequence.name.lower() not in files]
    if missing:
        raise SequenceError(f"{folder}: has no {', '.join(f'{name}.txt' for name in missing)}")
    offset = (1, 1, 0, 0) if one_based else (0, 0, 0, 0)
    return {s.name: _pass(files[s.name.lower()], s, offset) for s in sequences}


def _pass(file: Path, sequence: AnnotatedSequence, offset: tuple[int, ...]) -> Pass:
    raw = read_boxes(file)
    length = len(sequence)
    if len(raw) != length:
        raise SequenceError(
            f"{file}: {len(raw)} boxes, but {sequence.name} has {length} annotated frames; "
            "a row is needed for each of these, and for no other"
        )
    boxes = mark_absent(raw - offset)
    boxes[0] = sequence.boxes[0]
    return Pass(0, boxes, ("",) * length, np.full(length, np.nan), np.zeros(length))


class PublishedMean(NamedTuple):
    """Means of one tracker over named sequences, each counting once: success AUC and precision at 20 px."""

    tracker: str
    auc: float
    precision: float


@dataclass(frozen=True)
class PublishedScores:
    """Published scores: tracker -> sequence, in lower case -> success AUC and precision at 20 px."""

    scores: Mapping[str, Mapping[str, tuple[float, float]]]

    def means(self, sequences: Iterable[str]) -> tuple[list[PublishedMean], dict[str, tuple[str, ...]]]:
        """Means over these sequences, in any case of letters, best AUC first.

        Trackers that lack some of them have no mean that could be compared: they are in the second answer, with the
        names of what they lack.
        """
        names = list(sequences)
        lacking = {
            tracker: tuple(name for name in names if name.lower() not in found)
            for tracker, found in self.scores.items()
        }
        means = [self._mean(tracker, names) for tracker in self.scores if names and not lacking[tracker]]
        ordered = sorted(means, key=lambda mean: -mean.auc)
        return ordered, {tracker: lacks for tracker, lacks in lacking.items() if lacks}

    def _mean(self, tracker: str, names: Sequence[str]) -> PublishedMean:
        rows: NDArray[np.float64] = np.array([self.scores[tracker][name.lower()] for name in names])
        auc, precision = rows.mean(axis=0)
        return PublishedMean(tracker, float(auc), float(precision))


def read_table(file: Path) -> PublishedScores:
    """A table of scores per sequence: csv with the columns tracker, sequence, auc and prec20, in any order.

    Columns besides are left alone; a score of nan stands for a sequence that the tracker was not scored on.
    Raises SequenceError naming file and line for a column that is missing, a score that is not from 0 to 1, and a
    sequence that stands there twice for one tracker.
    """
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise SequenceError(f"{file}:1: has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}")
            for row in rows:
                _add(scores, row, f"{file}:{rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SequenceError(f"{file}: cannot be read as a csv table ({error})") from error
    return PublishedScores(scores)


def _add(scores: dict[str, dict[str, tuple[float, float]]], row: Mapping[str, str | None], place: str) -> None:
    tracker, sequence, *told = (row[name] or "" for name in COLUMNS)
    try:
        auc, precision = (float(value) for value in told)
    except ValueError:
        auc = precision = -1
    if not tracker or not sequence or any(value < 0 or value > 1 for value in (auc, precision)):
        raise SequenceError(f"{place}: a row is a tracker, a sequence, and scores from 0 to 1, not {dict(row)}")
    found = scores.setdefault(tracker, {})
    if sequence.lower() in found:
        raise SequenceError(f"{place}: {sequence} stands there a second time for {tracker}")
    if not np.isnan(auc + precision):
        found[sequence.lower()] = (auc, precision)
