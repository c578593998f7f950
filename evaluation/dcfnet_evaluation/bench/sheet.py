"""A benchmark as one JSON file, and back: what comparisons read and what is worth keeping in git."""

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
from dcfnet.sinks import write_whole

from dcfnet_evaluation.bench.figures import Cost, Course, Figures, Interval, Spread
from dcfnet_evaluation.bench.measure import Manner
from dcfnet_evaluation.contenders import Contender, machine
from dcfnet_evaluation.sequences import AnnotatedSequence

BENCH = "bench.json"
FORMAT = 1
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # told where they are set


class BenchError(DcfnetError, ValueError):
    """A file that is no benchmark, or two that cannot be compared; the message names the remedy."""


@dataclass(frozen=True)
class Bench:
    """All figures of one run.

    date: UTC, ISO 8601. command: as it was typed, of paths the last part. run: what it was run on and how, see
    `run_of`. trackers: name -> what it is. reference: that of `Figures.ratio`. figures: name -> its figures.
    """

    date: str
    command: str
    machine: Mapping[str, Any]
    run: Mapping[str, Any]
    trackers: Mapping[str, Mapping[str, Any]]
    reference: str | None
    figures: Mapping[str, Figures]


def run_of(layout: str, dataset: str, sequences: Sequence[AnnotatedSequence], manner: Manner) -> dict[str, Any]:
    """What a benchmark is run on, and how; without what differs between runs of the same."""
    return {
        "layout": layout,
        "dataset": dataset,
        "size": list(manner.size) if manner.size else None,
        "frames": {sequence.name: len(range(len(sequence))[: manner.limit]) for sequence in sequences},
        "warm_up": manner.warm_up,
        "targets": list(manner.targets),
        "repeats": manner.repeats,
    }


def described(contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """What each tracker is, by its name."""
    return {contender.name: contender.describe() for contender in contenders}


def bench_machine() -> dict[str, Any]:
    """What it runs on: processor, cores, threads, versions, present load; no names of people or hosts."""
    versions = {name: _version(name) for name in ("numpy", "onnxruntime")}
    threads = {name: os.environ[name] for name in THREADS if name in os.environ}
    told = {"processor": _processor(), "system": platform.system(), "opencv_threads": cv2.getNumThreads()}
    return {**machine(), **told, **versions, "threads": threads, "load": round(load(), 2)}


def load() -> float:
    """Processes that ran or waited to, mean of the last minute; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def write_bench(bench: Bench, file: Path) -> None:
    """Writes the figures as JSON, whole or not at all. Raises SinkError."""
    text = json.dumps({"format": FORMAT, **asdict(bench)}, indent=1, allow_nan=False)
    write_whole((text + "\n").encode(), file)


def read_bench(place: Path) -> Bench:
    """The figures in a file, or in the folder of a run. Raises BenchError naming a file that holds none."""
    file = place / BENCH if place.is_dir() else place
    try:
        data = json.loads(file.read_text())
        found = data.pop("format")
        if found == FORMAT:
            return Bench(**{**data, "figures": {name: _figures(values) for name, values in data["figures"].items()}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BenchError(f"{file}: not a benchmark that dcfnet-bench run wrote ({reason})") from error
    raise BenchError(f"{file}: benchmark of format {found!r}, this version reads {FORMAT}; run it anew")


def _figures(values: Mapping[str, Any]) -> Figures:
    ratio = values["ratio"]
    read = {
        "spread": Spread(**values["spread"]),
        "kinds": _spreads(values["kinds"]),
        "ratio": Interval(**ratio) if ratio else None,
        "targets": [Cost(**{**cost, "ratio": Interval(**cost["ratio"])}) for cost in values["targets"]],
        "sequences": {name: _course(course) for name, course in values["sequences"].items()},
    }
    return Figures(**{**values, **read})


def _course(values: Mapping[str, Any]) -> Course:
    return Course(**{**values, "spread": Spread(**values["spread"]), "kinds": _spreads(values["kinds"])})


def _spreads(values: Mapping[str, Any]) -> dict[str, Spread]:
    return {kind: Spread(**spread) for kind, spread in values.items()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's model, where Linux tells it; else its family."""
    told = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", told.read_text(), re.MULTILINE) if told.exists() else None
    return model[1] if model else platform.processor()
