"""An engine on disk: NAME.engine, NAME.engine.json and NAME.engine.onnx. Reads are checked, writes are atomic."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dcfnet.engines.passport import Passport, digest
from dcfnet.errors import EngineError
from dcfnet.io.files import write_files_atomically
from dcfnet.model.file import MAX_MODEL_SIZE, Model, parse_model

PASSPORT, SOURCE = ".json", ".onnx"  # suffixes after the complete name of the engine file
MAX_FILE_SIZE = 2**30  # bytes; an engine of this network has less than one MB
MAX_PASSPORT_SIZE = 2**20  # bytes; a passport has a few KB


@dataclass(frozen=True, kw_only=True)
class EngineModel(Model):
    """A model whose TensorRT engine runs in place of its graph, after every check has passed.

    plan: the serialised bytes of the engine, as they were checked. passport: the engine's description.
    """

    plan: bytes
    passport: Passport
    is_engine: ClassVar[bool] = True


def read_engine(file: Path) -> EngineModel:
    """The model of an engine, after all checks that are possible without running it.

    The returned bytes are the checked bytes. Symlinks are followed; they must end at a regular file, with the other two
    files next to it. Raises EngineError, and ModelError for an invalid ONNX file.
    """
    plan, resolved = read_regular(file), file.resolve()
    passport_file, source = companion_file(resolved, PASSPORT), companion_file(resolved, SOURCE)
    missing = [str(companion) for companion in (passport_file, source) if not os.path.lexists(companion)]
    if missing:
        raise EngineError(
            f"{', '.join(missing)}: cannot be read: no such file. {file} needs it beside it: copy it too, or build the "
            "engine again with dcfnet-export --trt"
        )
    passport = Passport.read(read_regular(passport_file, MAX_PASSPORT_SIZE), str(passport_file))
    onnx = read_regular(source, MAX_MODEL_SIZE)
    for path, content, expected in (
        (file, plan, passport.engine_sha256),
        (source, onnx, passport.onnx_sha256),
    ):
        if digest(content) != expected:
            raise EngineError(
                f"{path}: its SHA-256 is {digest(content)}, but its passport says {expected}: it is not the file that "
                "was built; build it again (dcfnet-run --rebuild)"
            )
    model = parse_model(onnx, str(source))
    descriptions = {
        "weights_sha256": (passport.weights_sha256, model.weights_sha256),
        "precision": (passport.precision, model.precision),
        "config": (dict(passport.config), model.config.to_mapping()),
    }
    differing = [f"{name}: {a} in the passport, {b} in the model" for name, (a, b) in descriptions.items() if a != b]
    if differing:
        raise EngineError(f"{file}: passport and model do not match: {'; '.join(differing)}; build it again")
    return EngineModel(**{**vars(model), "name": str(file)}, plan=plan, passport=passport)


def write_engine(file: Path, plan: bytes, onnx: bytes, passport: Passport) -> None:
    """Writes the three files, the passport last.

    After an interruption, a mixture of old and new files is rejected. If the disk is full, the previous files stay.
    Raises SinkError and EngineError.
    """
    signed = passport.signed()
    write_files_atomically({companion_file(file, SOURCE): onnx, file: plan, companion_file(file, PASSPORT): signed})


def companion_file(file: Path, suffix: str) -> Path:
    """The file of an engine with this suffix: its passport, its model or its build log."""
    return file.with_name(file.name + suffix)


def read_regular(file: Path, limit: int = MAX_FILE_SIZE) -> bytes:
    """The bytes of a regular file; symlinks are followed.

    Raises EngineError for a folder, pipe or device, for no file, and for a file of more than `limit` bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(file.resolve(strict=True), flags)
    except (OSError, RuntimeError) as error:  # RuntimeError: circular symlinks
        raise EngineError(f"{file}: cannot be read ({error}); create an engine with dcfnet-export --trt") from error
    try:
        # The check uses the opened file, because the path can change meanwhile.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EngineError(f"{file}: not a regular file; create an engine with dcfnet-export --trt")
        with open(descriptor, "rb", closefd=False) as opened:
            content = opened.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise EngineError(f"{file}: has more than {limit} bytes, so it is not of an engine of this project")
    return content
