"""A model on disk: one ONNX file that describes itself, checked before anything runs it.

The file is a backbone, patches -> features, whose metadata says how it wants to be fed and which tracker it was made
for. `dcfnet-export` writes it; the keys are METADATA_KEYS, which every file has, and those beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, ModelError
from dcfnet.protobuf import as_bytes, fields, messages

if TYPE_CHECKING:
    from dcfnet.engines.passport import Passport

FORMAT = "3"
FORMAT_KEY, CONFIG_KEY, PRESETS_KEY, INPUT_KEY, WEIGHTS_KEY = METADATA_KEYS = (
    "dcfnet.format",  # FORMAT
    "dcfnet.config",  # JSON, TrackerConfig.to_mapping()
    "dcfnet.presets",  # JSON, {"NAME": {"SETTING": VALUE}}, operating points as changes of the config
    "dcfnet.input",  # JSON, {"channels": "BGR", "mean": [b, g, r], "stride": pixels of the patch per feature}
    "dcfnet.weights_sha256",  # hash of the weights the graph was made from
)
PRECISION_KEY = "dcfnet.precision"  # a name of PRECISIONS; a file without it is float32 throughout
FOLDED_KEY = "dcfnet.folded"  # JSON, names of FOLDABLE that are in the graph already; a file without it has none there
PRECISIONS = ("fp32", "fp16", "int8", "mixed")
FOLDABLE = ("mean", "window")
SHIPPED = "dcfnet.onnx"
ENGINE = ".engine"  # suffix of the file of a TensorRT engine


@dataclass(frozen=True)
class Engine:
    """A TensorRT engine whose every check has held. plan: its serialised bytes, as they were checked."""

    plan: bytes
    passport: Passport


@dataclass(frozen=True)
class Model:
    """A checked model.

    onnx: bytes of the graph: input "patches" (B, 3, S, S), float32, or float16 where TensorRT is to have it so, BGR
    with the mean taken off, S any multiple of `stride`; output "features" float32 (B, C, S / stride, S / stride).
    config: the tracker it was made for, and presets: its operating points. mean: float32 (3,), BGR, whole numbers in
    [0, 255]. precision: a name of PRECISIONS.
    folded: what the graph does itself. With "mean" it takes patches as they are, BGR in [0, 255], the mean outside the
    frame; with "window" its features are multiplied by the cosine window, and S is the config's patch size alone.
    engine: what runs in place of the graph, where that was loaded.
    """

    name: str
    onnx: bytes
    config: TrackerConfig
    presets: Mapping[str, TrackerConfig]
    mean: NDArray[np.float32]
    stride: int
    weights_sha256: str
    precision: str = "fp32"
    folded: tuple[str, ...] = ()
    engine: Engine | None = None

    def preset(self, name: str) -> TrackerConfig:
        """The config of an operating point. Raises ConfigError for a name that the file does not know."""
        if name not in self.presets:
            raise ConfigError(f"no preset {name!r} in {self.name}; there are {', '.join(self.presets)}")
        return self.presets[name]


def load_model(file: str | Path | None = None) -> Model:
    """The model in a file, ONNX or a TensorRT engine; None is the shipped one.

    Raises ModelError saying what the file lacks and the remedy, EngineError, one of its kind, for an engine that is not
    to be run, and MissingDependencyError for an engine where nothing is installed to check it with.
    """
    if file is None:
        return parse_model((files("dcfnet") / "models" / SHIPPED).read_bytes(), SHIPPED)
    try:
        path = Path(file)
        there = path.is_file()
    except (TypeError, ValueError, OSError) as error:  # no path at all, or none that a file system takes
        raise ModelError(f"{file!r}: not the path of a model ({error})") from error
    if path.suffix == ENGINE:
        from dcfnet.engines.bundle import read_engine

        return read_engine(path)
    if not there:
        raise ModelError(f"{path}: no such file; dcfnet-export --onnx makes one")
    return parse_model(path.read_bytes(), str(path))


def parse_model(onnx: bytes, name: str) -> Model:
    """The model in the bytes of an ONNX file; `name` stands in messages. Raises ModelError."""
    try:
        metadata = read_metadata(onnx)
        external = _has_external_data(onnx)
    except (IndexError, ValueError) as error:
        raise ModelError(f"{name}: not an ONNX file; dcfnet-export --onnx makes one") from error
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        raise ModelError(f"{name}: not a model of this project: its metadata lacks {', '.join(missing)}")
    if metadata[FORMAT_KEY] != FORMAT:
        raise ModelError(
            f"{name}: model format {metadata[FORMAT_KEY]!r}, this version reads {FORMAT!r}; export it anew"
        )
    if external:
        raise ModelError(f"{name}: its weights lie in other files; a model is one file, export it anew")
    try:
        config = TrackerConfig.from_mapping(json.loads(metadata[CONFIG_KEY]))
        presets = {name: config.replace(**changes) for name, changes in json.loads(metadata[PRESETS_KEY]).items()}
        mean, stride = _read_input(json.loads(metadata[INPUT_KEY]))
        precision, folded = _read_kind(metadata)
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{name}: unusable metadata: {error}") from error
    return Model(name, onnx, config, presets, mean, stride, metadata[WEIGHTS_KEY], precision, folded)


def _read_kind(metadata: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Precision, and what is folded in. Raises ValueError for what this version does not know."""
    precision, folded = metadata.get(PRECISION_KEY, PRECISIONS[0]), json.loads(metadata.get(FOLDED_KEY, "[]"))
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, there are {', '.join(PRECISIONS)}")
    if not isinstance(folded, list) or not set(folded) <= set(FOLDABLE):
        raise ValueError(f"folded is {folded!r}, it must be a list of {', '.join(FOLDABLE)}")
    return precision, tuple(folded)


def _read_input(declared: Any) -> tuple[NDArray[np.float32], int]:
    """Mean and stride of the declared input. Raises ValueError for an input that the crop cannot make."""
    if not isinstance(declared, dict) or declared.get("channels") != "BGR":
        raise ValueError(f"the input is declared as {declared!r}, only channels 'BGR' are read")
    mean = np.array(declared.get("mean"), dtype=np.float32)
    # A whole mean is exact as a border of uint8 pixels, so that outside the frame a patch is exactly zero.
    if mean.shape != (3,) or not np.array_equal(mean, np.round(mean).clip(0, 255)):
        raise ValueError(f"mean is {declared.get('mean')!r}, it must be three whole numbers from 0 to 255")
    stride = declared.get("stride")
    if not isinstance(stride, int) or not 1 <= stride <= 16:
        raise ValueError(f"stride is {stride!r}, it must be a whole number from 1 to 16")
    return mean, stride


# Field numbers are those of onnx.proto3: ModelProto.graph 7, ModelProto.metadata_props 14; GraphProto.node 1,
# GraphProto.initializer 5; NodeProto.attribute 5; AttributeProto.t 5, .g 6, .tensors 10, .graphs 11;
# TensorProto.external_data 13.


def read_metadata(onnx: bytes) -> dict[str, str]:
    """The metadata_props of an ONNX file. Raises ValueError or IndexError for other bytes."""
    entries = [dict(fields(entry)) for entry in messages(onnx, 14)]
    return {as_bytes(entry[1]).decode(): as_bytes(entry.get(2, b"")).decode() for entry in entries if 1 in entry}


def _has_external_data(onnx: bytes) -> bool:
    graphs = messages(onnx, 7)
    if not graphs:
        raise ValueError("no graph")
    return any(number == 13 for graph in graphs for tensor in _tensors(graph) for number, _ in fields(tensor))


def _tensors(graph: bytes) -> Iterator[bytes]:
    """All tensors that a graph holds: its initialisers, those of its nodes' attributes, and of the graphs in these."""
    yield from messages(graph, 5)
    for node in messages(graph, 1):
        for attribute in messages(node, 5):
            yield from messages(attribute, 5, 10)
            for inner in messages(attribute, 6, 11):
                yield from _tensors(inner)
