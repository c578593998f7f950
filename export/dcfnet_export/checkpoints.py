"""The models of checkpoints: networks of `dcfnet-train`, deep networks, and the released weights. It needs torch."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from dcfnet.config import TrackerConfig
from dcfnet_train.checkpoint import WRITER, Checkpoint, as_checkpoint, read_tensors
from dcfnet_train.deep.checkpoint import WRITER as DEEP_WRITER
from dcfnet_train.deep.checkpoint import DeepCheckpoint, as_deep
from dcfnet_train.validation import TorchBackbone

from dcfnet_export.changes import LRNS, Changes, Source
from dcfnet_export.deep_graph import ConfidenceFit, deep_config, make_deep
from dcfnet_export.graph import STRIDE, make_model
from dcfnet_export.released import read_released

RELEASED_SUFFIX = ".npz"


def open_checkpoint(file: Path, changes: Changes) -> Source:
    """The network in a checkpoint. Raises ModelError, ConfigError for options that do not fit it, and ParityError."""
    if file.suffix == RELEASED_SUFFIX:
        return _shallow(file, read_released(file), changes)
    content = read_tensors(file, WRITER | DEEP_WRITER)
    if content.metadata["format"] in DEEP_WRITER:
        return _deep(file, as_deep(file, content), changes)
    return _shallow(file, as_checkpoint(file, content), changes)


def open_shipped(name: str, changes: Changes) -> Source:
    """A shipped model with changes, from its checkpoint in the package. Raises as `open_checkpoint`."""
    folder = files("dcfnet.model") / "shipped"
    fit = folder / f"{name}.confidence.json"
    with as_file(folder / f"{name}.safetensors") as checkpoint:
        if changes.confidence is not None or not fit.is_file():
            return open_checkpoint(checkpoint, changes)
        with as_file(fit) as confidence:
            return open_checkpoint(checkpoint, replace(changes, confidence=confidence))


def _deep(file: Path, weights: DeepCheckpoint, changes: Changes) -> Source:
    """A checkpoint of `python -m dcfnet_train.deep`."""
    changes.refuse(("config", "stride", "lrn"), f"no effect on {file.name}, a checkpoint of a deep network")
    fit = ConfidenceFit.read(changes.confidence) if changes.confidence else None
    model = make_deep(weights, deep_config(weights.patch_size).assign(changes.settings), file.stem, fit)
    return Source(model, TorchBackbone(weights.backbone()), "torch")


def _shallow(file: Path, weights: Checkpoint, changes: Changes) -> Source:
    """A checkpoint of `dcfnet-train`, or the released weights of the authors."""
    text = f"no effect on {file.name}; use dcfnet-calibrate confidence --into with its model file"
    changes.refuse(("confidence",), text)
    stride = changes.stride or STRIDE
    constants = TrackerConfig.named(changes.config) if changes.config else weights.recipe.tracker_config(stride)
    model = make_model(weights, constants.assign(changes.settings), file.stem, changes.lrn or LRNS[0], stride)
    return Source(model, TorchBackbone(weights.backbone(padding=True, stride=model.stride)), "torch")
