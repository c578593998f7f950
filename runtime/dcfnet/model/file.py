"""The model file: one ONNX file with metadata, checked before an engine runs it.

The graph is a backbone, patches -> features. The metadata describes its input and the constants of its tracker.
`dcfnet-export` writes the file. The keys of METADATA_KEYS are required; PRECISION_KEY and FOLDED_KEY are optional.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model.confidence import Confidence
from dcfnet.model.protobuf import as_bytes, fields, messages
from dcfnet.model.tensors import check_tensors

FORMAT = "4"
MAX_MODEL_SIZE = 2**26  # bytes; the shipped models have less than 1 MB
FORMAT_KEY, CONFIG_KEY, PRESETS_KEY, INPUT_KEY, WEIGHTS_KEY = METADATA_KEYS = (
    "dcfnet.format",  # FORMAT
    "dcfnet.config",  # JSON, TrackerConfig.to_mapping()
    "dcfnet.presets",  # JSON, {"NAME": {"SETTING": VALUE}}, the presets as changes of the config
    "dcfnet.input",  # JSON, {"channels": "BGR", "mean": [b, g, r], "stride": pixels of the patch per feature}
    "dcfnet.weights_sha256",  # SHA-256 of the weights that the graph was exported from
)
PRECISION_KEY = "dcfnet.precision"  # a name of PRECISIONS; default: fp32
LEVELS_KEY = "dcfnet.levels"  # JSON, [{"channels", "label_sigma", "weight"}], one filter each; default: one filter
CONFIDENCE_KEY = "dcfnet.confidence"  # JSON, {"bias", "weights"}, see `Confidence`; default: results have no confidence
FOLDED_KEY = "dcfnet.folded"  # JSON, the names of FOLDABLE that the graph computes itself; default: none
PRECISIONS = ("fp32", "fp16", "int8", "mixed")
FOLDABLE = ("mean", "window")
SHIPPED = {"deep": "deep.onnx", "dcfnet": "dcfnet.onnx"}  # name -> file in shipped/; the first is the default


@dataclass(frozen=True)
class FeatureLevel:
    """Consecutive channels of the features with a filter of their own. All levels have the same number of channels.

    label_sigma: standard deviation of the level's label, as a share of the target's side. weight: of its response.
    """

    channels: int
    label_sigma: float
    weight: float = 1.0


class ModelIdentity(NamedTuple):
    """Name of a model, for messages, and SHA-256 of its ONNX bytes. Both are empty for a backbone without a file."""

    name: str = ""
    sha256: str = ""


NO_FILE = ModelIdentity()


@dataclass(frozen=True)
class Model:
    """A checked model.

    onnx: bytes of the file. Its input "patches" is (B, 3, S, S), BGR, mean subtracted, S any multiple of `stride`,
    float32, or float16 for some TensorRT models. Its output "features" is float32 (B, C, S / stride, S / stride).
    config: constants of the tracker that the model was made for. presets: its operating points.
    mean: float32 (3,), BGR, whole numbers in [0, 255]. stride: patch pixels per feature.
    precision: a name of PRECISIONS.
    folded: operations that the graph computes itself. With "mean", its input is BGR in [0, 255], the mean outside the
    frame. With "window", its features are multiplied by the cosine window, and S must be the patch size of the config.
    levels: of the features, in the order of their channels; (): one filter for all channels.
    confidence: of results; None: it was not fitted for this model.
    is_engine: true for an `EngineModel`, whose TensorRT engine runs instead of the graph.
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
    levels: tuple[FeatureLevel, ...] = ()
    confidence: Confidence | None = None
    is_engine: ClassVar[bool] = False

    @property
    def identity(self) -> ModelIdentity:
        """Two models with the same hash compute the same features."""
        return ModelIdentity(self.name, sha256(self.onnx).hexdigest())

    def preset(self, name: str) -> TrackerConfig:
        """The constants of a preset. Raises ConfigError for an unknown name."""
        if name not in self.presets:
            raise ConfigError(f"preset={name!r}: {self.name} has the presets {', '.join(self.presets)}")
        return self.presets[name]


def parse_model(onnx: bytes, name: str) -> Model:
    """The model from the bytes of an ONNX file. name: for messages. Raises ModelError."""
    try:
        metadata = read_metadata(onnx)
        fault = check_tensors(onnx)
    except (IndexError, ValueError) as error:
        raise ModelError(f"{name}: not an ONNX file; create a model with dcfnet-export --onnx") from error
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        raise ModelError(
            f"{name}: not a model of this project: its metadata lacks {', '.join(missing)}; "
            "create a model with dcfnet-export --onnx"
        )
    if metadata[FORMAT_KEY] != FORMAT:
        raise ModelError(
            f"{name}: model format {metadata[FORMAT_KEY]!r}, this version reads {FORMAT!r}; export it again"
        )
    if fault:
        raise ModelError(f"{name}: {fault}")
    try:
        config = TrackerConfig.from_mapping(json.loads(metadata[CONFIG_KEY]))
        presets = {name: config.replace(**changes) for name, changes in json.loads(metadata[PRESETS_KEY]).items()}
        mean, stride = _read_input(json.loads(metadata[INPUT_KEY]))
        precision, folded = _read_kind(metadata)
        levels = _read_levels(json.loads(metadata.get(LEVELS_KEY, "[]")))
        declared = json.loads(metadata.get(CONFIDENCE_KEY, "null"))
        confidence = None if declared is None else Confidence.parse(declared)
    except (ConfigError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{name}: unusable metadata: {error}; export it again") from error
    weights = metadata[WEIGHTS_KEY]
    return Model(name, onnx, config, presets, mean, stride, weights, precision, folded, levels, confidence)


def _read_kind(metadata: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Precision and folded operations. Raises ValueError for unknown names."""
    precision, folded = metadata.get(PRECISION_KEY, PRECISIONS[0]), json.loads(metadata.get(FOLDED_KEY, "[]"))
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, it must be one of {', '.join(PRECISIONS)}")
    if not isinstance(folded, list) or not set(folded) <= set(FOLDABLE):
        raise ValueError(f"folded is {folded!r}, it must be a list of {', '.join(FOLDABLE)}")
    return precision, tuple(folded)


def _read_input(declared: Any) -> tuple[NDArray[np.float32], int]:
    """Mean and stride of the declared input. Raises ValueError for an input that the tracker cannot provide."""
    if not isinstance(declared, dict) or declared.get("channels") != "BGR":
        raise ValueError(f"the input is {declared!r}, its channels must be 'BGR'")
    mean = np.array(declared.get("mean"), dtype=np.float32)
    # With whole numbers, uint8 pixels outside the frame equal the mean, so that a patch is exactly 0 there.
    if mean.shape != (3,) or not np.array_equal(mean, np.round(mean).clip(0, 255)):
        raise ValueError(f"mean is {declared.get('mean')!r}, it must be three whole numbers from 0 to 255")
    stride = declared.get("stride")
    if not isinstance(stride, int) or not 1 <= stride <= 16:
        raise ValueError(f"stride is {stride!r}, it must be a whole number from 1 to 16")
    return mean, stride


def _read_levels(declared: Any) -> tuple[FeatureLevel, ...]:
    """The declared levels. Raises ValueError for levels that the tracker does not support, TypeError for other keys."""
    levels = tuple(FeatureLevel(**level) for level in declared)
    valid = all(0 < level.label_sigma < np.inf and 0 < level.weight < np.inf for level in levels)
    whole = all(isinstance(level.channels, int) and level.channels > 0 for level in levels)
    if len({level.channels for level in levels}) > 1 or not (valid and whole):
        raise ValueError(
            f"levels are {declared!r}, they must have equal channels, and a finite label_sigma and weight above 0"
        )
    return levels


def read_metadata(onnx: bytes) -> dict[str, str]:
    """The metadata_props of an ONNX file, field 14 of ModelProto. Raises ValueError or IndexError if it is not one."""
    entries = [dict(fields(entry)) for entry in messages(onnx, 14)]
    return {as_bytes(entry[1]).decode(): as_bytes(entry.get(2, b"")).decode() for entry in entries if 1 in entry}
