"""What can be evaluated: this project's tracker, OpenCV's, anybody's.

Each is a name and what it takes to open the tracker, so that it can be sent to another process and opened there.
"""

from __future__ import annotations

import os
import platform
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.model import load_model
from dcfnet.tracker import open_pipeline

from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.peers import describe_peer, open_peer
from dcfnet_evaluation.stages import ClockedTracker


class Contender(Protocol):
    """A tracker by name, not yet opened; equal ones give equal boxes."""

    @property
    def name(self) -> str:
        """As it stands in tables and file names."""

    def __hash__(self) -> int: ...

    def open(self) -> SingleTracker:
        """The tracker, ready for `init`."""

    def describe(self) -> dict[str, Any]:
        """What it is, ready for JSON; differs wherever its boxes may."""


@dataclass(frozen=True)
class Dcfnet:
    """This project's tracker. model: None is the shipped one. config: None is the model's own."""

    name: str = "dcfnet"
    model: Path | None = None
    config: TrackerConfig | None = None
    engine: str = "auto"

    def open(self) -> SingleTracker:
        """Raises ModelError, ConfigError and MissingDependencyError."""
        return ClockedTracker(open_pipeline(self.model, config=self.config, engine=self.engine))

    def describe(self) -> dict[str, Any]:
        """Weights and constants, and the engine that computes."""
        model = load_model(self.model)
        config = self.config or model.config
        engine = self.engine if self.engine != "auto" else _engine()
        weights, source = model.weights_sha256[:12], source_of("dcfnet")
        told = {"kind": "dcfnet", "weights": weights, "engine": engine, "source": source}
        return {**told, "config": config.to_mapping()}


@dataclass(frozen=True)
class Peer:
    """One of OpenCV's trackers; models: folder of the files that some of them need."""

    name: str
    models: Path | None = None

    def open(self) -> SingleTracker:
        """Raises an error naming the wheel or the files that it lacks."""
        return open_peer(self.name, self.models)

    def describe(self) -> dict[str, Any]:
        """OpenCV's version, since its trackers change with it."""
        return {"kind": "opencv", **describe_peer(self.name, self.models)}


@dataclass(frozen=True)
class Python:
    """Anybody's tracker: a class "package.module:Class" with `init(frame, box)` and `update(frame)`."""

    name: str
    target: str

    def open(self) -> SingleTracker:
        """Raises ConfigError where there is no such class."""
        module, _, attribute = self.target.partition(":")
        try:
            tracker: SingleTracker = getattr(import_module(module), attribute)()
        except Exception as error:  # whatever a module or a class raises
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"{self.target}: cannot be opened ({told}); give a class as package.module:Class"
            ) from error
        return tracker

    def describe(self) -> dict[str, Any]:
        """Its place, and what its source is."""
        return {"kind": "python", "class": self.target, "source": source_of(self.target.partition(":")[0])}


def source_of(module: str) -> str:
    """Eight digits that change with a module's file, or any of its package's; "" where there is none."""
    try:
        origin = find_spec(module)
    except (ImportError, ValueError):
        return ""
    if origin is None or origin.origin is None or not Path(origin.origin).is_file():
        return ""
    file = Path(origin.origin)
    files = sorted(file.parent.rglob("*.py")) if "." in module or file.name == "__init__.py" else [file]
    digits = 0
    for found in files:
        digits = zlib.crc32(found.read_bytes(), digits)
    return f"{digits:08x}"


@lru_cache(maxsize=32)
def opened(contender: Contender) -> SingleTracker:
    """The contender's tracker, opened once in a process."""
    return contender.open()


def machine() -> dict[str, Any]:
    """What an evaluation runs on: versions and cores; no names."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "python": sys.version.split()[0],
        "opencv": cv2.__version__,
        "dcfnet": metadata.version("dcfnet"),
    }


def _engine() -> str:
    try:
        return f"onnxruntime {metadata.version('onnxruntime')}"
    except metadata.PackageNotFoundError:
        return f"opencv {cv2.__version__}"
