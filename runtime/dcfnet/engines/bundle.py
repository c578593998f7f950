"""An engine on disk: NAME.engine, NAME.engine.json and NAME.engine.onnx, read with every check, written whole."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from dcfnet.engines.passport import Passport, digest
from dcfnet.errors import EngineError
from dcfnet.model import Engine, Model, parse_model
from dcfnet.sinks import write_together

PASSPORT, SOURCE = ".json", ".onnx"  # put after the engine's whole name
LARGEST = 2**30  # bytes of a file that is read: an engine of this network has less than one MB


def read_engine(file: Path) -> Model:
    """The model of an engine, `engine` within: all that can be checked without running it holds.

    The bytes that were checked are those that are kept. Symlinks are followed and must end at a regular file, beside
    which the other two lie. Raises EngineError, and ModelError for what is wrong with the ONNX file.
    """
    plan, place = read_regular(file), file.resolve()
    sidecar, source = beside(place, PASSPORT), beside(place, SOURCE)
    passport = Passport.read(read_regular(sidecar), str(sidecar))
    onnx = read_regular(source)
    for path, content, expected in (
        (file, plan, passport.engine_sha256),
        (source, onnx, passport.onnx_sha256),
    ):
        if digest(content) != expected:
            raise EngineError(
                f"{path}: SHA-256 {digest(content)}, its passport says {expected}: it is not the file that was built; "
                "build it anew"
            )
    model = parse_model(onnx, str(source))
    told = {
        "weights_sha256": (passport.weights_sha256, model.weights_sha256),
        "precision": (passport.precision, model.precision),
        "config": (dict(passport.config), model.config.to_mapping()),
    }
    differing = [f"{name}: {a} in the passport, {b} in the model" for name, (a, b) in told.items() if a != b]
    if differing:
        raise EngineError(f"{file}: passport and model do not belong together: {'; '.join(differing)}; build it anew")
    return replace(model, name=str(file), engine=Engine(plan, passport))


def write_engine(file: Path, plan: bytes, onnx: bytes, passport: Passport) -> None:
    """Writes the three files, the passport last: what a kill leaves is refused, what a full disk leaves is as it was.

    Raises SinkError and EngineError.
    """
    signed = passport.signed()
    write_together({beside(file, SOURCE): onnx, file: plan, beside(file, PASSPORT): signed})


def beside(file: Path, suffix: str) -> Path:
    """The file of an engine with that suffix."""
    return file.with_name(file.name + suffix)


def read_regular(file: Path) -> bytes:
    """The bytes of a regular file, symlinks followed. Raises EngineError for a folder, a pipe, a device, or no file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(file.resolve(strict=True), flags)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise EngineError(f"{file}: cannot be read ({error}); dcfnet-export --trt makes engines") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # of what was opened, whatever lies there by now
            raise EngineError(f"{file}: not a regular file; dcfnet-export --trt makes engines")
        with open(descriptor, "rb", closefd=False) as opened:
            content = opened.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise EngineError(f"{file}: larger than {LARGEST} bytes, which no engine of this project is")
    return content
