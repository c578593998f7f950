"""What is exported: a checkpoint of either kind of network, or a float32 model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from dcfnet.backbones.loading import DEFAULT_MODEL, load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import SHIPPED, Model
from dcfnet_train.checkpoint import load_checkpoint, read_format
from dcfnet_train.deep.checkpoint import FORMAT as DEEP_FORMAT
from dcfnet_train.deep.checkpoint import load_deep
from dcfnet_train.validation import TorchBackbone

from dcfnet_export.deep_graph import ConfidenceFit, deep_config, make_deep
from dcfnet_export.graph import STRIDE, make_model
from dcfnet_export.released import read_released

MODEL_SUFFIX, RELEASED_SUFFIX = ".onnx", ".npz"
LRNS = ("fast", "op")


@dataclass(frozen=True)
class Changes:
    """Options that change the model of a checkpoint. None, or no settings: the default of the checkpoint.

    config: name of the constants. settings: "NAME=VALUE", changes of the constants. stride, lrn: see `make_model`.
    confidence: a file of dcfnet-calibrate confidence. Raises ConfigError for an unknown `lrn`.
    """

    config: str | None = None
    settings: Sequence[str] = ()
    stride: int | None = None
    lrn: str | None = None
    confidence: Path | None = None

    def __post_init__(self) -> None:
        if self.lrn not in (None, *LRNS):
            raise ConfigError(f"--lrn {self.lrn}: must be {' or '.join(LRNS)}")

    def refuse(self, names: Sequence[str], reason: str) -> None:
        """Raises ConfigError if one of these options is given, because it would have no effect."""
        options = {"settings": "set"}
        given = [f"--{options.get(name, name)}" for name in names if getattr(self, name) not in (None, ())]
        if given:
            raise ConfigError(f"{', '.join(given)}: {reason}")


NO_CHANGES = Changes()


@dataclass(frozen=True)
class Source:
    """A network that is exported.

    model: float32; its name is that of the exported files. reference: computes the same features in another way, for
    `--verify`. reference_name: what computes them. compared: whether the model was compared with it on patches.
    """

    model: Model
    reference: Backbone
    reference_name: str
    compared: bool = True


def open_source(name: str | None, changes: Changes = NO_CHANGES) -> Source:
    """The network in a file, or a shipped model by its name; None: the default model.

    The model of a checkpoint is compared with torch. Raises ModelError for an unusable file, ConfigError for options
    that do not fit it, and ParityError.
    """
    if name is None:
        return _shipped(DEFAULT_MODEL, changes)
    path = Path(name)
    if str(path) in SHIPPED and (not path.exists() or path.is_dir()):  # users have folders such as out/deep
        return _shipped(str(path), changes)
    if not path.exists():
        raise ModelError(
            f"{path}: no such file; give a checkpoint, a float32 model ({MODEL_SUFFIX}), or the name of a shipped "
            f"model: {', '.join(SHIPPED)}"
        )
    return _of_file(path, changes)


def _shipped(name: str, changes: Changes) -> Source:
    """A shipped model, from its checkpoint in the package."""
    folder = files("dcfnet.model") / "shipped"
    fit = folder / f"{name}.confidence.json"
    with as_file(folder / f"{name}.safetensors") as checkpoint:
        if changes.confidence is not None or not fit.is_file():
            return _of_file(checkpoint, changes)
        with as_file(fit) as confidence:
            return _of_file(checkpoint, replace(changes, confidence=confidence))


def _of_file(file: Path, changes: Changes) -> Source:
    if file.suffix == MODEL_SUFFIX:
        return _model_file(file, changes)
    if file.suffix != RELEASED_SUFFIX and read_format(file) == DEEP_FORMAT:
        return _deep(file, changes)
    return _shallow(file, changes)


def _model_file(file: Path, changes: Changes) -> Source:
    """A model file. Its float32 graph in OpenCV is the reference."""
    model = load_model(file)
    if model.precision != "fp32" or model.folded:
        kind = f"in {model.precision}" if model.precision != "fp32" else f"with {', '.join(model.folded)} in its graph"
        raise ModelError(f"{file}: a model {kind} cannot be converted; give the float32 model")
    changes.refuse(tuple(vars(changes)), f"no effect on a model file; export the checkpoint of {file.name} with it")
    return Source(replace(model, name=file.stem), open_backbone(model, "opencv"), "OpenCV", compared=False)


def _deep(file: Path, changes: Changes) -> Source:
    """A checkpoint of `python -m dcfnet_train.deep`."""
    changes.refuse(("config", "stride", "lrn"), f"no effect on {file.name}, a checkpoint of a deep network")
    weights = load_deep(file)
    fit = ConfidenceFit.read(changes.confidence) if changes.confidence else None
    model = make_deep(weights, deep_config(weights.patch_size).assign(changes.settings), file.stem, fit)
    return Source(model, TorchBackbone(weights.backbone()), "torch")


def _shallow(file: Path, changes: Changes) -> Source:
    """A checkpoint of `dcfnet-train`, or the released weights of the authors."""
    text = f"no effect on {file.name}; use dcfnet-calibrate confidence --into with its model file"
    changes.refuse(("confidence",), text)
    weights = read_released(file) if file.suffix == RELEASED_SUFFIX else load_checkpoint(file)
    stride = changes.stride or STRIDE
    constants = TrackerConfig.named(changes.config) if changes.config else weights.recipe.tracker_config(stride)
    model = make_model(weights, constants.assign(changes.settings), file.stem, changes.lrn or LRNS[0], stride)
    return Source(model, TorchBackbone(weights.backbone(padding=True, stride=model.stride)), "torch")
