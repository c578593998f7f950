"""The files of an evaluation: its conditions, and one file of passes for every tracker and sequence.

    OUTPUT/run.json                        the conditions: dataset, protocol, trackers
    OUTPUT/ope/TRACKER/SEQUENCE.json       the passes of one tracker over one sequence; also "tre" and "sre"
    OUTPUT/30hz/TRACKER/SEQUENCE.json      the real-time pass at a camera rate, see `latency`

Numbers are read back bit for bit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from dcfnet.io.files import read_json, write_atomically

from dcfnet_evaluation.passes.protocols import PROTOCOLS
from dcfnet_evaluation.passes.single_pass import Failure, Pass
from dcfnet_evaluation.sequences import SequenceError

RUN, MEMORY = "run.json", "memory.json"
RESULTS = ("scores.json", "report.html")  # results of a finished run: deleted when a run starts
PUBLISHED = "published"  # kind of a tracker whose boxes were read from files
FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Conditions:
    """The conditions of an evaluation. Equal conditions give equal boxes, so a stopped run can continue.

    OpenCV's MIL is the exception: it is random. layout, dataset: layout and folder name of the dataset. content:
    checksum of the dataset. sequences: name -> number of frames. protocol: "ope", "tre" or "sre". limit: number of
    first frames of each pass, None for all. rates: camera rates of the real-time passes, Hz. trackers: name ->
    description, which changes if the boxes can change.
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
        """The kinds of passes of every tracker: the protocol, then each rate, for example "30hz"."""
        return (self.protocol, *(f"{rate}hz" for rate in self.rates))

    def differences(self, other: Conditions) -> list[str]:
        """A text for each value that differs; empty if both are equal. Additional trackers or sequences also differ."""
        return list(_differences("", _as_json(asdict(self)), _as_json(asdict(other))))


@dataclass(frozen=True)
class Record:
    """The passes of one tracker over one sequence. serial: whether one worker ran them; only then are times valid."""

    passes: tuple[Pass, ...]
    serial: bool


@dataclass(frozen=True)
class Store:
    """The folder of one evaluation."""

    folder: Path

    def conditions(self) -> Conditions | None:
        """The conditions in the folder; None if there are none. Raises SequenceError if the file is invalid."""
        file = self.folder / RUN
        if not file.is_file():
            return None
        return _read(file, _conditions)

    def begin(self, conditions: Conditions, machine: Mapping[str, Any]) -> None:
        """Writes the conditions and the machine. Raises SequenceError for a file, and if there is another run."""
        if self.folder.is_file():
            raise SequenceError(f"{self.folder}: is a file; give the name of a folder as --output")
        stored = self.conditions()
        if stored is not None and (differences := stored.differences(conditions)):
            raise SequenceError(
                f"{self.folder}: contains another run ({'; '.join(differences)}); "
                "choose another --output, or delete this run with --fresh"
            )
        for name in RESULTS:
            (self.folder / name).unlink(missing_ok=True)
        data = {"format": FORMAT, "conditions": asdict(conditions), "machine": dict(machine)}
        write_atomically((json.dumps(data, indent=1) + "\n").encode(), self.folder / RUN)

    def clear(self) -> None:
        """Deletes the files of a run from the folder, and no other files."""
        for kind in self.folder.glob("*"):
            if kind.name in PROTOCOLS or re.fullmatch(r"\d+hz", kind.name):
                for file in kind.glob("*/*.json"):
                    file.unlink()
        for file in (self.folder / name for name in (*RESULTS, MEMORY, RUN)):
            if file.is_file():
                file.unlink()

    def machine(self) -> dict[str, Any]:
        """The machine that is recorded in the folder."""
        return _read(self.folder / RUN, lambda data: dict(data["machine"]))

    def file(self, kind: str, tracker: str, sequence: str) -> Path:
        """Path of the passes of a tracker over a sequence. kind: a protocol, or a rate, for example "30hz"."""
        return self.folder / kind / tracker / f"{sequence}.json"

    def has(self, kind: str, tracker: str, sequence: str, frames: int) -> bool:
        """Whether the file exists and its passes are complete. frames: length of the sequence."""
        try:
            record = self.load(kind, tracker, sequence)
        except SequenceError:
            return False
        return all(
            len(one_pass.boxes) <= frames - one_pass.start and one_pass.is_complete() for one_pass in record.passes
        )

    def save(self, kind: str, tracker: str, sequence: str, record: Record) -> None:
        """Writes the passes. An interrupted write leaves no partial file."""
        data = {"serial": record.serial, "passes": [_encode(one_pass) for one_pass in record.passes]}
        write_atomically((json.dumps(data) + "\n").encode(), self.file(kind, tracker, sequence))

    def load(self, kind: str, tracker: str, sequence: str) -> Record:
        """The passes, bit for bit. Raises SequenceError if the file cannot be read."""
        file = self.file(kind, tracker, sequence)
        return _read(file, lambda data: Record(tuple(_decode(d) for d in data["passes"]), bool(data["serial"])))


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    passes: tracker -> sequence -> record. streaming: camera rate in Hz -> tracker -> sequence -> record of a real-time
    pass, without trackers whose boxes are published. memory: tracker -> peak resident memory of a process of its own,
    bytes; empty if it was not measured.
    """

    conditions: Conditions
    machine: Mapping[str, Any]
    passes: Mapping[str, Mapping[str, Record]]
    streaming: Mapping[int, Mapping[str, Mapping[str, Record]]] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Reads the folder. Raises SequenceError if it contains no evaluation, or an incomplete one."""
        store = Store(folder)
        conditions = store.conditions()
        if conditions is None:
            raise SequenceError(f"{folder}: contains no {RUN}; create an evaluation with dcfnet-eval --output {folder}")

        def records_of(kind: str, names: Iterable[str]) -> dict[str, dict[str, Record]]:
            return {name: {s: store.load(kind, name, s) for s in conditions.sequences} for name in names}

        run_here = [name for name, description in conditions.trackers.items() if description["kind"] != PUBLISHED]
        streaming = {rate: records_of(f"{rate}hz", run_here) for rate in conditions.rates}
        passes = records_of(conditions.protocol, conditions.trackers)
        return cls(conditions, store.machine(), passes, streaming, read_memory(folder))

    @property
    def serial(self) -> bool:
        """Whether one worker ran all passes. Otherwise times and real-time scores are not valid."""
        kinds = [self.passes, *self.streaming.values()]
        return all(record.serial for kind in kinds for by_sequence in kind.values() for record in by_sequence.values())


def write_memory(folder: Path, memory: Mapping[str, int]) -> None:
    """Writes the peak memory of each tracker, bytes."""
    write_atomically((json.dumps(dict(memory), indent=1) + "\n").encode(), folder / MEMORY)


def read_memory(folder: Path) -> dict[str, int]:
    """Peak memory of each tracker, bytes; empty if it was not measured."""
    file = folder / MEMORY
    return _read(file, lambda data: {name: int(data[name]) for name in data}) if file.is_file() else {}


def _as_json(data: dict[str, Any]) -> dict[str, Any]:
    """The data as JSON reads it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _differences(place: str, mine: Any, theirs: Any) -> Iterator[str]:
    """A text for each value that differs, with its place, such as trackers.dcfnet.preset."""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        for key in mine:
            yield from _differences(f"{place}.{key}".removeprefix("."), mine[key], theirs[key])
    elif mine != theirs:
        shown = [", ".join(value) if isinstance(value, dict) else str(value) for value in (mine, theirs)]
        yield f"{place}: {shown[0]:.200} in the folder, {shown[1]:.200} now"


def _read(file: Path, decode: Callable[[Any], T]) -> T:
    try:
        return decode(read_json(file))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SequenceError(
            f"{file}: not a valid file of dcfnet-eval ({reason}); delete the run and start again with --fresh"
        ) from error


def _conditions(data: Mapping[str, Any]) -> Conditions:
    """Raises ValueError, TypeError or KeyError for values that are not those of a run."""
    found = Conditions(**data["conditions"] | {"rates": tuple(data["conditions"]["rates"])})
    counts = (*found.rates, *found.sequences.values())
    if found.protocol not in PROTOCOLS or not all(isinstance(count, int) for count in counts):
        raise ValueError("its protocol, its rates or its numbers of frames are not those of a run")
    if not all("kind" in description for description in found.trackers.values()):
        raise ValueError("a tracker has no kind")
    return found


def _encode(one_pass: Pass) -> dict[str, Any]:
    return {
        "start": one_pass.start,
        "boxes": one_pass.boxes.tolist(),
        "statuses": list(one_pass.statuses),
        "psr": one_pass.psr.tolist(),
        "seconds": one_pass.seconds.tolist(),
        "failures": [asdict(failure) for failure in one_pass.failures],
        "stages": {name: values.tolist() for name, values in one_pass.stages.items()},
        "confidence": None if one_pass.confidence is None else one_pass.confidence.tolist(),
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
        confidence=None if (values := data.get("confidence")) is None else _floats(values),  # absent in older files
    )


def _floats(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(values, dtype=np.float64)
