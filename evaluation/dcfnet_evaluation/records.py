"""An evaluation on disk: what was run, and a file of passes for every tracker and sequence, so that nothing is lost.

    OUTPUT/run.json                        the conditions: dataset, protocol, trackers
    OUTPUT/ope/TRACKER/SEQUENCE.json       the passes of one tracker over one sequence; "tre" and "sre" likewise
    OUTPUT/30hz/TRACKER/SEQUENCE.json      the same against the clock, see `latency`

Numbers are written so that they read back to the last bit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from dcfnet.sinks import write_whole

from dcfnet_evaluation.passes import Failure, Pass
from dcfnet_evaluation.protocols import PROTOCOLS
from dcfnet_evaluation.sequences import SequenceError

RUN, MEMORY = "run.json", "memory.json"
RESULTS = ("scores.json", "report.html")  # made of a whole run: taken away while one is not
PUBLISHED = "published"  # kind of a tracker whose boxes were read, not run
FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Conditions:
    """What was run. Equal conditions give equal boxes (of OpenCV's MIL alone not: it is random), so a run can go on.

    layout, dataset: the dataset's layout and the name of its folder. content: tells its files from others of the same
    name. sequences: name -> frames. protocol: "ope", "tre" or "sre". limit: first frames of each pass, or None for all.
    rates: Hz of the passes against the clock. trackers: name -> what it is, in words and numbers that change when its
    boxes would.
    """

    layout: str
    dataset: str
    content: str
    sequences: Mapping[str, int]
    protocol: str
    limit: int | None
    rates: tuple[int, ...]
    trackers: Mapping[str, Mapping[str, Any]]

    def kinds(self) -> tuple[str, ...]:
        """What is run of every tracker: the protocol, then each rate, as "30hz"."""
        return (self.protocol, *(f"{rate}hz" for rate in self.rates))

    def differences(self, other: Conditions) -> list[str]:
        """What differs, in words; empty where the two are equal. More trackers or sequences are a difference too."""
        mine, theirs = _plain(asdict(self)), _plain(asdict(other))
        return [
            f"{key}: {mine[key]!s:.200} there, {theirs[key]!s:.200} now" for key in mine if mine[key] != theirs[key]
        ]


@dataclass(frozen=True)
class Record:
    """The passes of one tracker over one sequence; serial: run by the only worker, so that times mean something."""

    passes: tuple[Pass, ...]
    serial: bool


@dataclass(frozen=True)
class Store:
    """The folder of one evaluation."""

    folder: Path

    def conditions(self) -> Conditions | None:
        """What the folder says was run, None where it says nothing. Raises SequenceError for a file that is broken."""
        file = self.folder / RUN
        if not file.is_file():
            return None
        return _read(
            file, lambda data: Conditions(**data["conditions"] | {"rates": tuple(data["conditions"]["rates"])})
        )

    def begin(self, conditions: Conditions, machine: Mapping[str, Any]) -> None:
        """Writes down what is run and on what. Raises SequenceError where the folder holds another run."""
        there = self.conditions()
        if there is not None and (differences := there.differences(conditions)):
            raise SequenceError(
                f"{self.folder}: holds another run ({'; '.join(differences)}); choose another --output, or --fresh"
            )
        for name in RESULTS:
            (self.folder / name).unlink(missing_ok=True)
        data = {"format": FORMAT, "conditions": asdict(conditions), "machine": dict(machine)}
        write_whole((json.dumps(data, indent=1) + "\n").encode(), self.folder / RUN)

    def clear(self) -> None:
        """Takes whatever run the folder holds out of it, and nothing that is not a run's."""
        for kind in self.folder.glob("*"):
            if kind.name in PROTOCOLS or re.fullmatch(r"\d+hz", kind.name):
                for file in kind.glob("*/*.json"):
                    file.unlink()
        for name in (*RESULTS, MEMORY, RUN):
            (self.folder / name).unlink(missing_ok=True)

    def machine(self) -> dict[str, Any]:
        """What the folder says the run was made on."""
        return _read(self.folder / RUN, lambda data: dict(data["machine"]))

    def file(self, kind: str, tracker: str, sequence: str) -> Path:
        """Where the passes of a tracker over a sequence are; kind: a protocol, or a rate such as "30hz"."""
        return self.folder / kind / tracker / f"{sequence}.json"

    def has(self, kind: str, tracker: str, sequence: str, frames: int) -> bool:
        """Whether the passes are there and whole; frames: of the sequence."""
        try:
            record = self.load(kind, tracker, sequence)
        except SequenceError:
            return False
        return all(len(done.boxes) <= frames - done.start and done.whole() for done in record.passes)

    def save(self, kind: str, tracker: str, sequence: str, record: Record) -> None:
        """Writes the passes, whole or not at all."""
        data = {"serial": record.serial, "passes": [_encode(done) for done in record.passes]}
        write_whole((json.dumps(data) + "\n").encode(), self.file(kind, tracker, sequence))

    def load(self, kind: str, tracker: str, sequence: str) -> Record:
        """The passes, bit for bit. Raises SequenceError naming a file that cannot be read."""
        file = self.file(kind, tracker, sequence)
        return _read(file, lambda data: Record(tuple(_decode(d) for d in data["passes"]), bool(data["serial"])))


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation, read from its folder.

    passes: tracker -> sequence -> record. streaming: Hz -> tracker -> sequence -> record, against the clock; those of
    published boxes, which were not run, are not there.
    memory: tracker -> peak resident memory of a process of its own, bytes, where it was measured.
    """

    conditions: Conditions
    machine: Mapping[str, Any]
    passes: Mapping[str, Mapping[str, Record]]
    streaming: Mapping[int, Mapping[str, Mapping[str, Record]]] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Raises SequenceError where the folder holds no evaluation or not all of one."""
        store = Store(folder)
        conditions = store.conditions()
        if conditions is None:
            raise SequenceError(f"{folder}: no {RUN} in it; dcfnet-eval --output makes such a folder")

        def of(kind: str, names: Iterable[str]) -> dict[str, dict[str, Record]]:
            return {name: {s: store.load(kind, name, s) for s in conditions.sequences} for name in names}

        run = [name for name, told in conditions.trackers.items() if told["kind"] != PUBLISHED]
        streaming = {rate: of(f"{rate}hz", run) for rate in conditions.rates}
        passes = of(conditions.protocol, conditions.trackers)
        return cls(conditions, store.machine(), passes, streaming, read_memory(folder))

    @property
    def serial(self) -> bool:
        """Whether every pass was run by the only worker: otherwise times and scores against the clock mean nothing."""
        kinds = [self.passes, *self.streaming.values()]
        return all(record.serial for kind in kinds for found in kind.values() for record in found.values())


def write_memory(folder: Path, memory: Mapping[str, int]) -> None:
    """Writes the peak memory of the trackers, bytes."""
    write_whole((json.dumps(dict(memory), indent=1) + "\n").encode(), folder / MEMORY)


def read_memory(folder: Path) -> dict[str, int]:
    """Peak memory of the trackers, bytes; empty where it was not measured."""
    file = folder / MEMORY
    return _read(file, lambda data: {name: int(data[name]) for name in data}) if file.is_file() else {}


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _read(file: Path, decode: Callable[[Any], T]) -> T:
    try:
        return decode(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        told = f"{type(error).__name__}: {error}"
        raise SequenceError(f"{file}: not a file that dcfnet-eval wrote ({told}); --fresh begins anew") from error


def _encode(done: Pass) -> dict[str, Any]:
    return {
        "start": done.start,
        "boxes": done.boxes.tolist(),
        "statuses": list(done.statuses),
        "psr": done.psr.tolist(),
        "seconds": done.seconds.tolist(),
        "failures": [asdict(failure) for failure in done.failures],
        "stages": {name: values.tolist() for name, values in done.stages.items()},
    }


def _decode(data: Mapping[str, Any]) -> Pass:
    return Pass(
        start=int(data["start"]),
        boxes=_floats(data["boxes"]).reshape(-1, 4),
        statuses=tuple(data["statuses"]),
        psr=_floats(data["psr"]),
        seconds=_floats(data["seconds"]),
        failures=tuple(Failure(**failure) for failure in data["failures"]),
        stages={name: _floats(values) for name, values in data["stages"].items()},
    )


def _floats(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(values, dtype=np.float64)
