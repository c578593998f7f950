"""A small evaluation made by hand, and a reader of its report."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import Failure, Pass
from dcfnet_evaluation.records import Conditions, Evaluation, Record
from dcfnet_evaluation.sequences import AnnotatedSequence

from tests.train.footage import make_otb_sequence

LENGTH = 48
BOLD = "<b>bold</b> & co"
MISSING = slice(12, 30)  # frames in which the first tracker is somewhere else
BROKEN = 5  # frame from which the third tracker has no box


def render_sequences(root: Path) -> list[AnnotatedSequence]:
    """Three rendered sequences, one with a name that is markup, one whose target is absent for a while."""
    for seed, name in enumerate(["Alpha", "Beta", "Gamma"]):
        make_otb_sequence(root / name, LENGTH, seed=seed)
    first, second, third = open_dataset("otb", root)
    absent = third.boxes.copy()
    absent[33:38] = np.nan
    return [
        replace(first, name=BOLD, attributes=("SV", "OCC")),
        replace(second, attributes=("SV",)),
        replace(third, boxes=absent),
    ]


def passed(boxes: np.ndarray, status: str = "", failures: tuple[Failure, ...] = (), **stages: float) -> Record:
    seconds = np.full(LENGTH, 0.010)
    parts = {name: np.full(LENGTH, value) for name, value in stages.items()}
    done = Pass(0, boxes, (status,) * LENGTH, np.full(LENGTH, np.nan), seconds, failures, parts)
    return Record((done,), serial=True)


def strays(sequence: AnnotatedSequence) -> Record:
    boxes = np.where(np.isnan(sequence.boxes), 1.0, sequence.boxes)
    boxes[MISSING, 0] += 3 * boxes[MISSING, 2]
    return passed(boxes, "tracked", crop=0.004, rest=0.006)


def shifts(sequence: AnnotatedSequence) -> Record:
    return passed(sequence.boxes + np.array([7, -3, 0, 0]))


def breaks(sequence: AnnotatedSequence) -> Record:
    boxes = sequence.boxes.copy()
    boxes[BROKEN:] = np.nan
    return passed(boxes, failures=(Failure(BROKEN, "RuntimeError: <camera> fell off", LENGTH - BROKEN),))


TRACKERS = {"strays": strays, "shifts $x$": shifts, "breaks": breaks}


def make_evaluation(sequences: list[AnnotatedSequence]) -> Evaluation:
    """Trackers whose boxes are known, on the rendered sequences."""
    passes = {name: {s.name: answer(s) for s in sequences} for name, answer in TRACKERS.items()}
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
    late = {name: {s.name: passed(np.roll(s.boxes, 1, axis=0)) for s in sequences} for name in TRACKERS}
    return Evaluation(conditions, {"cores": 2}, passes, {30: late}, {"strays": 123_000_000})


class Page(HTMLParser):
    """What a page holds: tables as caption -> rows of texts, attributes of every tag, and all its words."""

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
        """Row -> column -> text, of the table whose caption starts so."""
        rows = next(rows for caption, rows in self.tables.items() if caption.startswith(start))
        return {row[0].strip(): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}

    def addresses(self) -> list[str]:
        return [found[key] for _, found in self.tags for key in ("src", "srcset", "href") if key in found]
