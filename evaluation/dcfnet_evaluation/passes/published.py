"""Published results of other trackers: boxes from result files, and tables of scores."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.passes.single_pass import Pass
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, read_boxes

COLUMNS = ("tracker", "sequence", "auc", "prec20")


def read_results(folder: Path, sequences: Sequence[AnnotatedSequence], one_based: bool = True) -> dict[str, Pass]:
    """Reads the boxes of a tracker: sequence name -> pass over the whole sequence.

    folder: contains a file for each sequence, in upper or lower case, with a row x,y,w,h for every frame, as the OTB
    benchmark and other toolkits write them; see `result_names`. one_based: whether the first pixel of a frame has
    coordinate 1, as in OTB. A row with NaN or without a size is a frame without a box. The true box replaces the first
    box, as in the benchmark. The files contain no times and no statuses: seconds are 0, statuses "".

    Raises SequenceError if a file is missing or has an invalid row; the message names the file and the line.
    """
    if not folder.is_dir():
        raise SequenceError(f"{folder}: no such folder; give the folder of the result files")
    files = {file.stem.lower(): file for file in _result_files(folder)}
    found = {sequence.name: _result_file(files, sequence.name) for sequence in sequences}
    if missing := [name for name, file in found.items() if file is None]:
        raise SequenceError(
            f"{folder}: has no {', '.join(f'{name}.txt' for name in missing)}; every sequence needs a file; "
            "add it, or leave out the sequence with --sequences"
        )
    offset = (1, 1, 0, 0) if one_based else (0, 0, 0, 0)
    return {s.name: _pass(file, s, offset) for s in sequences if (file := found[s.name]) is not None}


def _result_files(folder: Path) -> list[Path]:
    """The text files of a tracker: in its folder, and NAME/NAME_001.txt."""
    nested = (file for file in folder.glob("*/*_001.txt") if file.stem == f"{file.parent.name}_001")
    return [*sorted(nested), *sorted(file for file in folder.iterdir() if file.suffix.lower() == ".txt")]


def result_names(sequence: str) -> list[str]:
    """Names of result files for a sequence, without suffix, in lower case, the most exact first.

    The first target of Jogging has three spellings: Jogging-1 (the OTB benchmark, pysot), Jogging.1 (got10k) and
    Jogging_1 (pytracking). The first pass over a sequence of GOT-10k is NAME/NAME_001.
    """
    name = sequence.lower()
    target = re.fullmatch(r"(.+)[-._](\d)", name)
    spellings = [f"{target[1]}{separator}{target[2]}" for separator in "-._"] if target else []
    return [name, *spellings, f"{name}_001"]


def _result_file(files: Mapping[str, Path], sequence: str) -> Path | None:
    """The result file of a sequence. A folder with one annotated target, as Human4, may have its number in the name."""
    exact = [files[name] for name in result_names(sequence) if name in files]
    numbered = [file for name, file in files.items() if re.fullmatch(re.escape(sequence.lower()) + r"[-._]\d", name)]
    return next(iter(exact or (numbered if len(numbered) == 1 else [])), None)


def _pass(file: Path, sequence: AnnotatedSequence, offset: tuple[int, ...]) -> Pass:
    raw = read_boxes(file)
    length = len(sequence)
    if len(raw) != length:
        raise SequenceError(
            f"{file}: {len(raw)} boxes, but {sequence.name} has {length} annotated frames; "
            "the file needs one row for each annotated frame"
        )
    boxes = mark_absent(raw - offset)
    boxes[0] = sequence.boxes[0]
    return Pass(0, boxes, ("",) * length, np.full(length, np.nan), np.zeros(length))


class PublishedMean(NamedTuple):
    """Means of one tracker over sequences with equal weight: success AUC and precision at 20 px."""

    tracker: str
    auc: float
    precision: float


@dataclass(frozen=True)
class PublishedScores:
    """Published scores: tracker -> sequence in lower case -> (success AUC, precision at 20 px)."""

    scores: Mapping[str, Mapping[str, tuple[float, float]]]

    def means(self, sequences: Iterable[str]) -> tuple[list[PublishedMean], dict[str, tuple[str, ...]]]:
        """Means over these sequences, highest AUC first, and trackers without a mean: name -> missing sequences.

        Upper and lower case in names are equal. A tracker that has no score for one of the sequences has no mean,
        because it could not be compared with the others.
        """
        names = list(sequences)
        lacking = {
            tracker: tuple(name for name in names if name.lower() not in by_sequence)
            for tracker, by_sequence in self.scores.items()
        }
        means = [self._mean(tracker, names) for tracker in self.scores if names and not lacking[tracker]]
        ordered = sorted(means, key=lambda mean: -mean.auc)
        return ordered, {tracker: lacks for tracker, lacks in lacking.items() if lacks}

    def _mean(self, tracker: str, names: Sequence[str]) -> PublishedMean:
        rows: NDArray[np.float64] = np.array([self.scores[tracker][name.lower()] for name in names])
        auc, precision = rows.mean(axis=0)
        return PublishedMean(tracker, float(auc), float(precision))


def read_table(file: Path) -> PublishedScores:
    """Reads a table of scores per sequence: CSV with the columns tracker, sequence, auc and prec20, in any order.

    Other columns are ignored. A score of nan means that the tracker has no score for the sequence.
    Raises SequenceError if a column is missing, a score is not in 0 to 1, or a tracker has two rows for a sequence; the
    message names the file and the line.
    """
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise SequenceError(
                    f"{file}:1: has no column {', '.join(lacking)}; the table needs {', '.join(COLUMNS)}"
                )
            for row in rows:
                _add_row(scores, row, f"{file}:{rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SequenceError(f"{file}: cannot be read as a CSV table ({error}); give a UTF-8 file") from error
    return PublishedScores(scores)


def _add_row(scores: dict[str, dict[str, tuple[float, float]]], row: Mapping[str, str | None], place: str) -> None:
    tracker, sequence, *cells = (row[name] or "" for name in COLUMNS)
    try:
        auc, precision = (float(value) for value in cells)
    except ValueError:
        auc = precision = -1
    if not tracker or not sequence or any(value < 0 or value > 1 for value in (auc, precision)):
        raise SequenceError(
            f"{place}: row {dict(row)} needs a tracker, a sequence, and scores from 0 to 1; correct the row"
        )
    tracker_scores = scores.setdefault(tracker, {})
    if sequence.lower() in tracker_scores:
        raise SequenceError(f"{place}: {sequence} is a second row for {tracker}; keep one row per tracker and sequence")
    if not np.isnan(auc + precision):
        tracker_scores[sequence.lower()] = (auc, precision)
