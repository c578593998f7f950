"""A whole evaluation in one folder: conditions, passes, memory and scores."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dcfnet_evaluation.datasets import LAYOUTS
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.protocols import PROTOCOLS
from dcfnet_evaluation.passes.published import read_results
from dcfnet_evaluation.passes.records import PUBLISHED, Conditions, Evaluation, Record, Store, read_memory, write_memory
from dcfnet_evaluation.runs import Progress, jobs_left, run
from dcfnet_evaluation.scores.sheet import SHEET, Sheet, write_sheet
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_evaluation.trackers.contenders import Contender, machine
from dcfnet_evaluation.trackers.memory import peak_memory

RATES = (30, 60)  # Hz of the simulated cameras


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    protocol: "ope", "tre" or "sre". limit: number of first frames of each pass, None for all. rates: camera rates of
    the real-time passes, Hz. workers: local processes. ray: address of a Ray cluster. memory: whether to measure the
    peak memory of each tracker, in a process of its own. workers and ray do not change the boxes. With several
    workers times are not valid, so they are left out.
    """

    protocol: str = "ope"
    limit: int | None = None
    rates: tuple[int, ...] = ()
    workers: int = 1
    ray: str | None = None
    memory: bool = False

    def __post_init__(self) -> None:
        """Raises SequenceError if the protocol is unknown, or if the rates are not positive or cannot be measured."""
        if self.protocol not in PROTOCOLS:
            raise SequenceError(f"protocol {self.protocol!r}: must be one of {', '.join(PROTOCOLS)}")
        if self.rates and (self.protocol != "ope" or not self.serial):
            raise SequenceError(
                f"rates {', '.join(map(str, self.rates))} with protocol {self.protocol}: real-time passes need "
                "--protocol ope and one worker; leave out --rates"
            )
        if any(rate <= 0 for rate in self.rates):
            raise SequenceError(f"rates {', '.join(map(str, self.rates))}: must be whole numbers of Hz above 0")

    @property
    def serial(self) -> bool:
        """Whether this process is the only worker."""
        return self.workers == 1 and self.ray is None


@dataclass(frozen=True)
class Subject:
    """The sequences of an evaluation.

    layout, name: layout and name of the dataset. whole: whether `sequences` are all of the dataset or of its subset.
    """

    layout: str
    name: str
    sequences: Sequence[AnnotatedSequence]
    whole: bool = True


def evaluate(
    subject: Subject,
    contenders: Sequence[Contender],
    folder: Path,
    settings: EvaluationSettings,
    published: Mapping[str, Path] = MappingProxyType({}),
    fresh: bool = False,
    progress: Callable[[int], Progress] = lambda jobs: lambda name: None,
) -> tuple[Evaluation, Sheet]:
    """Runs the passes that the folder does not contain yet, scores all passes and writes boxes, times and scores.json.

    published: name -> folder with the boxes of a tracker that is not run here, see `read_results`. fresh: delete the
    run in the folder first. progress: called with the number of sequences to run; it returns a function that is called
    with the name of each finished sequence.

    Raises SequenceError if the folder contains another run, a frame cannot be read, or two trackers have the same name.
    """
    published_passes = _read_published(subject, settings, published)
    descriptions = [(contender.name, contender.describe()) for contender in contenders]
    descriptions += [
        (name, {"kind": PUBLISHED, "folder": published_folder.name}) for name, published_folder in published.items()
    ]
    conditions = _conditions(subject, descriptions, settings)
    store = Store(folder)
    if fresh:
        store.clear()
    store.begin(conditions, machine())
    for (name, sequence), one_pass in published_passes.items():
        store.save(settings.protocol, name, sequence, Record((one_pass,), serial=True))
    jobs = jobs_left(store, conditions, subject.sequences, contenders)
    run(jobs, store, settings.workers, settings.ray, progress(len(jobs)))
    if settings.memory and not read_memory(folder):
        write_memory(folder, peak_memory(contenders, subject.sequences[0]))
    evaluation = Evaluation.load(folder)
    sheet = Sheet.of(evaluation, subject.sequences)
    write_sheet(sheet, folder / SHEET)
    return evaluation, sheet


def _read_published(
    subject: Subject, settings: EvaluationSettings, folders: Mapping[str, Path]
) -> dict[tuple[str, str], Pass]:
    """The published boxes, by tracker and sequence."""
    if folders and (settings.protocol != "ope" or settings.limit):
        raise SequenceError(
            f"--results with protocol {settings.protocol} and limit {settings.limit}: published boxes are of one pass "
            "over whole sequences; use --protocol ope without --limit"
        )
    one_based = LAYOUTS[subject.layout].one_based
    results = {name: read_results(folder, subject.sequences, one_based) for name, folder in folders.items()}
    return {(name, sequence): one_pass for name, passes in results.items() for sequence, one_pass in passes.items()}


def _checksum(sequences: Sequence[AnnotatedSequence]) -> str:
    """CRC-32 of the names, true boxes and file sizes of the sequences, 8 hexadecimal digits."""
    checksum = 0
    for sequence in sequences:
        file_text = f"{sequence.name} {sequence.frames.size()}".encode()
        checksum = zlib.crc32(sequence.boxes.tobytes() + file_text, checksum)
    return f"{checksum:08x}"


def _conditions(
    subject: Subject, descriptions: Sequence[tuple[str, dict[str, Any]]], settings: EvaluationSettings
) -> Conditions:
    names = [name for name, _ in descriptions]
    unusable = [name for name in names if not re.fullmatch(r"[^/\\.][^/\\]*", name)]
    if unusable:  # the boxes of a tracker are in a folder with its name
        raise SequenceError(
            f"tracker {unusable[0]!r}: a name must not be empty, contain / or \\, or begin with a dot; rename it"
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SequenceError(f"two trackers have the name {', '.join(repeated)}; give each tracker its own name")
    return Conditions(
        layout=subject.layout,
        dataset=subject.name,
        content=_checksum(subject.sequences),
        sequences={sequence.name: len(sequence) for sequence in subject.sequences},
        protocol=settings.protocol,
        limit=settings.limit,
        rates=settings.rates,
        trackers=dict(descriptions),
    )
