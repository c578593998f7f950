"""What dcfnet-export accepts: a shipped model, a model file, or a checkpoint. Only checkpoints need torch."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from dcfnet.backbones.loading import DEFAULT_MODEL, load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.errors import MissingDependencyError, ModelError
from dcfnet.model.file import SHIPPED, Model

from dcfnet_export.changes import Changes, Source

MODEL_SUFFIX = ".onnx"
NO_CHANGES = Changes()


def open_source(name: str | None, changes: Changes = NO_CHANGES) -> Source:
    """The network in a file, or a shipped model by its name; None: the default model.

    A shipped model with changes comes from its checkpoint. The model of a checkpoint is compared with torch.
    Raises ModelError for an unusable file, ConfigError for options that do not fit it, and ParityError. Raises
    MissingDependencyError if torch is required and not installed.
    """
    path = Path(name or DEFAULT_MODEL)
    if name is None or (str(path) in SHIPPED and (not path.exists() or path.is_dir())):  # a folder, such as out/deep
        if changes.given():
            shipped: Source = _checkpoints().open_shipped(str(path), changes)
            return shipped
        return _of_model(load_model(name), str(path))
    if not path.exists():
        raise ModelError(
            f"{path}: no such file; give a checkpoint, a float32 model ({MODEL_SUFFIX}), or the name of a shipped "
            f"model: {', '.join(SHIPPED)}"
        )
    if path.suffix.lower() != MODEL_SUFFIX:
        opened: Source = _checkpoints().open_checkpoint(path, changes)
        return opened
    model = load_model(path)
    changes.refuse(changes.given(), f"no effect on a model file; export the checkpoint of {path.name} with it")
    return _of_model(model, path.stem)


def _of_model(model: Model, name: str) -> Source:
    """A model that is a file already, by the name of the exported files. OpenCV's engine is its reference."""
    if model.precision != "fp32" or model.folded:
        kind = f"in {model.precision}" if model.precision != "fp32" else f"with {', '.join(model.folded)} in its graph"
        raise ModelError(f"{model.name}: a model {kind} cannot be converted; give the float32 model")
    return Source(replace(model, name=name), open_backbone(model, "opencv"), "OpenCV", compared=False)


def _checkpoints() -> Any:
    """The module of checkpoints, which imports torch."""
    try:
        return import_module("dcfnet_export.checkpoints")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dcfnet"):
            raise
        raise MissingDependencyError(str(error.name), "export") from error
