"""The trackers that can be evaluated: this project's tracker, those of OpenCV, and classes of the user.

A contender is a name and the arguments that open the tracker. It can be sent to another process and opened there.
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
from dcfnet.backbones.loading import load_model
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.lifecycle.opening import open_pipeline

from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.trackers.peers import describe_peer, open_peer
from dcfnet_evaluation.trackers.stages import ClockedTracker


class Contender(Protocol):
    """A tracker that is not open yet. Equal contenders give equal boxes."""

    @property
    def name(self) -> str:
        """The name in tables and file names."""

    def __hash__(self) -> int: ...

    def open(self) -> SingleTracker:
        """Opens the tracker; it is ready for `init`."""

    def describe(self) -> dict[str, Any]:
        """A description for JSON. Two descriptions differ if the boxes or the confidences can differ."""


@dataclass(frozen=True)
class Dcfnet:
    """This project's tracker. model: a file or a shipped name; None selects the default. config: None: the model's."""

    name: str = "dcfnet"
    model: Path | None = None
    config: TrackerConfig | None = None
    engine: str = "auto"

    def open(self) -> SingleTracker:
        """Raises ModelError, ConfigError or MissingDependencyError if the tracker cannot be opened."""
        return ClockedTracker(open_pipeline(self.model, config=self.config, engine=self.engine))

    def describe(self) -> dict[str, Any]:
        """Weights, confidence, constants, engine and source code of the tracker."""
        model = load_model(self.model)
        confidence = model.confidence.to_mapping() if model.confidence else None
        config = self.config or model.config
        engine = self.engine if self.engine != "auto" else _engine()
        weights, source = model.weights_sha256[:12], source_of("dcfnet")
        description = {"kind": "dcfnet", "weights": weights, "engine": engine, "source": source}
        return {**description, "confidence": confidence, "config": config.to_mapping()}


@dataclass(frozen=True)
class Peer:
    """A tracker of OpenCV. models: folder with the model files that some of these trackers need."""

    name: str
    models: Path | None = None

    def open(self) -> SingleTracker:
        """Raises PeerError if the wheel of OpenCV or a model file is missing; the message names it."""
        return open_peer(self.name, self.models)

    def describe(self) -> dict[str, Any]:
        """The version of OpenCV, because its trackers change with it, and the model files."""
        return {"kind": "opencv", **describe_peer(self.name, self.models)}


@dataclass(frozen=True)
class Python:
    """A tracker of the user: a class "package.module:Class" with `init(frame, box)` and `update(frame)`."""

    name: str
    target: str

    def open(self) -> SingleTracker:
        """Raises ConfigError if the class cannot be imported or constructed."""
        module, _, attribute = self.target.partition(":")
        try:
            tracker: SingleTracker = getattr(import_module(module), attribute)()
        except Exception as error:  # the module and the class are code of the user
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"{self.target}: cannot be opened ({reason}); give a class as package.module:Class"
            ) from error
        return tracker

    def describe(self) -> dict[str, Any]:
        """The name of the class and a checksum of its source code."""
        return {"kind": "python", "class": self.target, "source": source_of(self.target.partition(":")[0])}


def source_of(module: str) -> str:
    """CRC-32 of the files of a module or of its package, 8 hexadecimal digits; "" if there is no such file."""
    try:
        origin = find_spec(module)
    except (ImportError, ValueError):
        return ""
    if origin is None or origin.origin is None or not Path(origin.origin).is_file():
        return ""
    file = Path(origin.origin)
    files = sorted(file.parent.rglob("*.py")) if "." in module or file.name == "__init__.py" else [file]
    checksum = 0
    for source in files:
        checksum = zlib.crc32(source.read_bytes(), checksum)
    return f"{checksum:08x}"


@lru_cache(maxsize=32)
def open_once(contender: Contender) -> SingleTracker:
    """The tracker of the contender. Each process opens it once."""
    return contender.open()


def machine() -> dict[str, Any]:
    """The machine of an evaluation: cores, architecture and versions; no host or user name."""
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
