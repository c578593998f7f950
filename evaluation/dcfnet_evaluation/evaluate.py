"""An evaluation from end to end: conditions, runs, memory, scores, report, all in one folder."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dcfnet_evaluation.contenders import Contender, machine
from dcfnet_evaluation.datasets import LAYOUTS
from dcfnet_evaluation.memory import peak_memory
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.protocols import PROTOCOLS
from dcfnet_evaluation.published import read_results
from dcfnet_evaluation.records import PUBLISHED, Conditions, Evaluation, Record, Store, read_memory, write_memory
from dcfnet_evaluation.runs import Progress, jobs_left, run
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_evaluation.sheet import SHEET, Sheet, write_sheet

RATES = (30, 60)  # Hz of the cameras that are simulated


@dataclass(frozen=True)
class Manner:
    """How an evaluation is run. Its boxes do not depend on workers and ray; its times do, and are then not told.

    rates: Hz of the passes against the clock. memory: measure it, in a process per tracker.
    """

    protocol: str = "ope"
    limit: int | None = None
    rates: tuple[int, ...] = ()
    workers: int = 1
    ray: str | None = None
    memory: bool = False

    def __post_init__(self) -> None:
        """Raises SequenceError for times that would mean nothing."""
        if self.protocol not in PROTOCOLS:
            raise SequenceError(f"protocol {self.protocol!r}: one of {', '.join(PROTOCOLS)}")
        if self.rates and (self.protocol != "ope" or not self.serial):
            raise SequenceError("passes against the clock need --protocol ope and one worker: leave out --rates")
        if any(rate <= 0 for rate in self.rates):
            raise SequenceError(f"rates {', '.join(map(str, self.rates))}: whole numbers of Hz above 0")

    @property
    def serial(self) -> bool:
        """Whether the only worker is this process."""
        return self.workers == 1 and self.ray is None


@dataclass(frozen=True)
class Subject:
    """What the trackers are run on. layout, name: of the dataset. whole: all sequences of the dataset or its subset."""

    layout: str
    name: str
    sequences: Sequence[AnnotatedSequence]
    whole: bool = True


def evaluate(
    subject: Subject,
    contenders: Sequence[Contender],
    folder: Path,
    manner: Manner,
    published: Mapping[str, Path] = MappingProxyType({}),
    fresh: bool = False,
    progress: Callable[[int], Progress] = lambda jobs: lambda name: None,
) -> tuple[Evaluation, Sheet]:
    """Runs what is not there yet, and scores it; the folder holds every box, the times and scores.json.

    published: name -> folder of the boxes of a tracker that is not run, see `read_results`. fresh: throw away what the
    folder holds. progress(jobs) is told how many sequences are left, and what it returns is called with the name of
    each that is done. Raises SequenceError for a folder that holds another run, for frames that cannot be read and for
    names that are given twice.
    """
    read = _read_published(subject, manner, published)
    described = [(contender.name, contender.describe()) for contender in contenders]
    described += [(name, {"kind": PUBLISHED, "folder": place.name}) for name, place in published.items()]
    conditions = _conditions(subject, described, manner)
    store = Store(folder)
    if fresh:
        store.clear()
    store.begin(conditions, machine())
    for (name, sequence), done in read.items():
        store.save(manner.protocol, name, sequence, Record((done,), serial=True))
    jobs = jobs_left(store, conditions, subject.sequences, contenders)
    run(jobs, store, manner.workers, manner.ray, progress(len(jobs)))
    if manner.memory and not read_memory(folder):
        write_memory(folder, peak_memory(contenders, subject.sequences[0]))
    evaluation = Evaluation.load(folder)
    sheet = Sheet.of(evaluation, subject.sequences)
    write_sheet(sheet, folder / SHEET)
    return evaluation, sheet


def _read_published(subject: Subject, manner: Manner, folders: Mapping[str, Path]) -> dict[tuple[str, str], Pass]:
    """The boxes of other trackers, by tracker and sequence."""
    if folders and (manner.protocol != "ope" or manner.limit):
        raise SequenceError("published boxes are of one pass over whole sequences: --protocol ope without --limit")
    one_based = LAYOUTS[subject.layout].one_based
    found = {name: read_results(folder, subject.sequences, one_based) for name, folder in folders.items()}
    return {(name, sequence): done for name, passes in found.items() for sequence, done in passes.items()}


def _content(sequences: Sequence[AnnotatedSequence]) -> str:
    """Eight digits that change with the truth of the sequences and the sizes of their files."""
    digits = 0
    for sequence in sequences:
        told = f"{sequence.name} {sequence.frames.size()}".encode()
        digits = zlib.crc32(sequence.boxes.tobytes() + told, digits)
    return f"{digits:08x}"


def _conditions(subject: Subject, described: Sequence[tuple[str, dict[str, Any]]], manner: Manner) -> Conditions:
    names = [name for name, _ in described]
    unusable = [name for name in names if not re.fullmatch(r"[^/\\.][^/\\]*", name)]
    if unusable:  # a name is a folder of the run
        raise SequenceError(f"tracker {unusable[0]!r}: a name is not empty, has no / or \\ and begins with no dot")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SequenceError(f"two trackers are named {', '.join(twice)}; each needs a name of its own")
    return Conditions(
        layout=subject.layout,
        dataset=subject.name,
        content=_content(subject.sequences),
        sequences={sequence.name: len(sequence) for sequence in subject.sequences},
        protocol=manner.protocol,
        limit=manner.limit,
        rates=manner.rates,
        trackers=dict(described),
    )
