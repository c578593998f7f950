"""The TensorRT engine of a robot: built once on the machine where it runs."""

from __future__ import annotations

from pathlib import Path

from dcfnet.engines.make import rebuild
from dcfnet.errors import EngineError


def build_engine(model: str) -> str:
    """Builds the engine file again from the ONNX file beside it, and returns one line about it.

    Raises EngineError for a name that is no engine file, and as `dcfnet-run --rebuild`.
    """
    file = Path(model)
    if file.suffix != ".engine":
        raise EngineError(f"model: {model!r} must be an engine file, for example /opt/robot/best-fp16.engine")
    passport = rebuild(file)
    return f"{file}: built with {passport.flavour} {passport.version} for this GPU"
