"""A small evaluation with known boxes, and a parser of its report."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import Failure, Pass
from dcfnet_evaluation.passes.records import Conditions, Evaluation, Record
from dcfnet_evaluation.sequences import AnnotatedSequence

from tests.train.footage import make_otb_dataset

LENGTH = 48
BOLD = "<b>bold</b> & co"
MISSING = slice(12, 30)  # frames in which the first tracker misses the target
BROKEN = 5  # first frame without a box of the third tracker


def render_sequences(root: Path) -> list[AnnotatedSequence]:
    """Three rendered sequences: one has HTML in its name, and one has frames without the target."""
    first, second, third = open_dataset("otb", make_otb_dataset(root, LENGTH, ("Alpha", "Beta", "Gamma")))
    absent = third.boxes.copy()
    absent[33:38] = np.nan
    return [
        replace(first, name=BOLD, attributes=("SV", "OCC")),
        replace(second, attributes=("SV",)),
        replace(third, boxes=absent),
    ]


def make_record(boxes: np.ndarray, status: str = "", failures: tuple[Failure, ...] = (), **stages: float) -> Record:
    seconds = np.full(LENGTH, 0.010)
    parts = {name: np.full(LENGTH, value) for name, value in stages.items()}
    one_pass = Pass(0, boxes, (status,) * LENGTH, np.full(LENGTH, np.nan), seconds, failures, parts)
    return Record((one_pass,), serial=True)


def drifting(sequence: AnnotatedSequence) -> Record:
    boxes = np.where(np.isnan(sequence.boxes), 1.0, sequence.boxes)
    boxes[MISSING, 0] += 3 * boxes[MISSING, 2]
    return make_record(boxes, "tracked", crop=0.004, rest=0.006)


def shifted(sequence: AnnotatedSequence) -> Record:
    return make_record(sequence.boxes + np.array([7, -3, 0, 0]))


def failing(sequence: AnnotatedSequence) -> Record:
    boxes = sequence.boxes.copy()
    boxes[BROKEN:] = np.nan
    return make_record(boxes, failures=(Failure(BROKEN, "RuntimeError: <camera> fell off", LENGTH - BROKEN),))


TRACKERS = {"drifting": drifting, "shifted $x$": shifted, "failing": failing}


def make_evaluation(sequences: list[AnnotatedSequence]) -> Evaluation:
    """An evaluation of trackers with known boxes on the rendered sequences."""
    passes = {name: {s.name: make(s) for s in sequences} for name, make in TRACKERS.items()}
    conditions = Conditions(
        "otb",
        "rendered",
        "0",
        {s.name: LENGTH for s in sequences},
        "ope",
        None,
        (30,),
        {n: {"kind": "k"} for n in TRACKERS},
    )
    real_time = {name: {s.name: make_record(np.roll(s.boxes, 1, axis=0)) for s in sequences} for name in TRACKERS}
    return Evaluation(conditions, {"cores": 2}, passes, {30: real_time}, {"drifting": 123_000_000})


class Page(HTMLParser):
    """The content of a page. tables: caption -> rows of texts. tags: tag and attributes. words: all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words, self._caption, self._inside = "", "", ""
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption.strip(), []).append([])
        if tag in ("th", "td"):
            self.tables[self._caption.strip()][-1].append("")
        if tag in ("th", "td", "caption", "style"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self._caption += data
        elif self._inside in ("th", "td"):
            self.tables[self._caption.strip()][-1][-1] += data
        self.words += data if self._inside != "style" else ""

    def table(self, start: str) -> dict[str, dict[str, str]]:
        """Row -> column -> text of the table whose caption begins with `start`."""
        rows = next(rows for caption, rows in self.tables.items() if caption.startswith(start))
        return {row[0].strip(): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}

    def addresses(self) -> list[str]:
        return [
            attributes[key] for _, attributes in self.tags for key in ("src", "srcset", "href") if key in attributes
        ]
