"""A benchmark, written to and read from one JSON file, for comparisons and for git."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
from dcfnet.errors import DcfnetError
from dcfnet.io.files import read_json, write_atomically

from dcfnet_evaluation.bench.times.figures import Cost, Figures, Interval, SequenceFigures, Spread
from dcfnet_evaluation.bench.times.measure import BenchSettings
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_evaluation.trackers.contenders import Contender, machine

BENCH = "bench.json"
FORMAT = 1
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # recorded if they are set


class BenchError(DcfnetError, ValueError):
    """A file that is not a benchmark, or two benchmarks that cannot be compared; the message names the remedy."""


@dataclass(frozen=True)
class Bench:
    """All figures of one run.

    date: UTC, ISO 8601. command: command line of the user, with only the last part of paths. machine: see
    `bench_machine`. run: sequences and settings, see `run_of`. trackers: name -> description. reference: tracker of
    `Figures.ratio`. figures: name -> figures.
    """

    date: str
    command: str
    machine: Mapping[str, Any]
    run: Mapping[str, Any]
    trackers: Mapping[str, Mapping[str, Any]]
    reference: str | None
    figures: Mapping[str, Figures]


def run_of(
    layout: str, dataset: str, sequences: Sequence[AnnotatedSequence], settings: BenchSettings
) -> dict[str, Any]:
    """Sequences and settings of a benchmark, without values that differ between equal runs."""
    return {
        "layout": layout,
        "dataset": dataset,
        "size": list(settings.size) if settings.size else None,
        "frames": {sequence.name: len(range(len(sequence))[: settings.limit]) for sequence in sequences},
        "warm_up": settings.warm_up,
        "targets": list(settings.targets),
        "repeats": settings.repeats,
    }


def describe_contenders(contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """Name -> description of each tracker."""
    return {contender.name: contender.describe() for contender in contenders}


def bench_machine() -> dict[str, Any]:
    """The machine: processor, cores, threads, versions and current load; no user or host names."""
    versions = {name: _version(name) for name in ("numpy", "onnxruntime")}
    threads = {name: os.environ[name] for name in THREADS if name in os.environ}
    hardware = {"processor": _processor(), "system": platform.system(), "opencv_threads": cv2.getNumThreads()}
    return {**machine(), **hardware, **versions, "threads": threads, "load": round(load(), 2)}


def load() -> float:
    """Load average of the last minute; 0 if the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def write_bench(bench: Bench, file: Path) -> None:
    """Writes the figures as JSON. An interrupted write leaves no partial file. Raises SinkError."""
    text = json.dumps({"format": FORMAT, **asdict(bench)}, indent=1, allow_nan=False)
    write_atomically((text + "\n").encode(), file)


def read_bench(place: Path) -> Bench:
    """Reads the figures from a file or from the folder of a run. Raises BenchError if the file is not a benchmark."""
    file = place / BENCH if place.is_dir() else place
    try:
        data = read_json(file)
        file_format = data.pop("format")
        if file_format == FORMAT:
            return Bench(
                **{**data, "figures": {name: _read_figures(values) for name, values in data["figures"].items()}}
            )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BenchError(f"{file}: not a valid benchmark file ({reason}); write one with dcfnet-bench run") from error
    raise BenchError(f"{file}: has format {file_format!r}; must be {FORMAT}; run dcfnet-bench again")


def _read_figures(values: Mapping[str, Any]) -> Figures:
    ratio = values["ratio"]
    read = {
        "spread": Spread(**values["spread"]),
        "kinds": _read_spreads(values["kinds"]),
        "ratio": Interval(**ratio) if ratio else None,
        "targets": [Cost(**{**cost, "ratio": Interval(**cost["ratio"])}) for cost in values["targets"]],
        "sequences": {name: _read_sequence(sequence) for name, sequence in values["sequences"].items()},
    }
    return Figures(**{**values, **read})


def _read_sequence(values: Mapping[str, Any]) -> SequenceFigures:
    return SequenceFigures(**{**values, "spread": Spread(**values["spread"]), "kinds": _read_spreads(values["kinds"])})


def _read_spreads(values: Mapping[str, Any]) -> dict[str, Spread]:
    return {kind: Spread(**spread) for kind, spread in values.items()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor model on Linux; on other systems its family."""
    cpu_info = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpu_info.read_text(), re.MULTILINE) if cpu_info.exists() else None
    return model[1] if model else platform.processor()
