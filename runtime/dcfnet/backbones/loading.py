"""Loads any model file: an ONNX model, or a TensorRT engine with its model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dcfnet.errors import ModelError
from dcfnet.model.file import SHIPPED, Model, parse_model

ENGINE = ".engine"  # suffix of TensorRT engine files


def load_model(file: str | Path | None = None) -> Model:
    """The model in a file: ONNX or a TensorRT engine. None: the shipped model.

    Raises ModelError with the problem and the remedy, its subclass EngineError for an engine that must not run, and
    MissingDependencyError if the libraries that check an engine are not installed.
    """
    if file is None:
        return parse_model((files("dcfnet.model") / "shipped" / SHIPPED).read_bytes(), SHIPPED)
    try:
        path = Path(file)
        exists = path.is_file()
    except (TypeError, ValueError, OSError) as error:  # not a path, or invalid for the file system
        raise ModelError(f"{file!r}: not the path of a model ({error})") from error
    if path.suffix == ENGINE:
        from dcfnet.engines.bundle import read_engine

        return read_engine(path)
    if not exists:
        raise ModelError(f"{path}: no such file; create a model with dcfnet-export --onnx")
    return parse_model(path.read_bytes(), str(path))
