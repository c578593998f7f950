"""Loads any model file: an ONNX model, or a TensorRT engine with its model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dcfnet.errors import ModelError
from dcfnet.io.files import read_limited
from dcfnet.model.file import MAX_MODEL_SIZE, SHIPPED, Model, parse_model

ENGINE = ".engine"  # suffix of TensorRT engine files
DEFAULT_MODEL = next(iter(SHIPPED))


def load_model(file: str | Path | None = None) -> Model:
    """The model in a file: ONNX or a TensorRT engine. "deep" and "dcfnet" are the shipped models; None: "deep".

    A file of that name in the working directory comes first.

    Raises ModelError with the problem and the remedy, its subclass EngineError for an engine that must not run, and
    MissingDependencyError if the libraries that check an engine are not installed.
    """
    if file is None:
        return _shipped(DEFAULT_MODEL)
    try:
        path = Path(file)
        exists = path.is_file()
    except OSError as error:  # invalid for the file system, or in a folder that may not be read
        raise ModelError(f"{file}: cannot be read ({error.strerror}); give a model of dcfnet-export") from error
    except (TypeError, ValueError) as error:
        raise ModelError(f"{file!r}: not the path of a model ({error})") from error
    if not exists and str(file) in SHIPPED:
        return _shipped(str(file))
    if path.suffix == ENGINE:
        from dcfnet.engines.bundle import read_engine

        return read_engine(path)
    if not exists:
        raise ModelError(
            f"{path}: no such file; the shipped models are {', '.join(SHIPPED)}; dcfnet-export --onnx makes others"
        )
    try:
        content = read_limited(path, MAX_MODEL_SIZE)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give a model of dcfnet-export") from error
    return parse_model(content, str(path))


def _shipped(name: str) -> Model:
    """A model of the package, by its name in SHIPPED."""
    return parse_model((files("dcfnet.model") / "shipped" / SHIPPED[name]).read_bytes(), SHIPPED[name])
