"""Builds the engine of a model on disk, and rebuilds rejected engines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcfnet.config.version import __version__
from dcfnet.engines.builder import build
from dcfnet.engines.bundle import (
    MAX_PASSPORT_SIZE,
    PASSPORT,
    SOURCE,
    companion_file,
    read_engine,
    read_regular,
    write_engine,
)
from dcfnet.engines.compatibility import Environment
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport, digest
from dcfnet.errors import DeviceError, EngineError, MissingDependencyError, ModelError
from dcfnet.io.files import write_atomically
from dcfnet.model.file import MAX_MODEL_SIZE, Model, parse_model

LOG = ".log"  # suffix of the build log, after the complete name of the engine file
NOTHING: Mapping[str, Any] = {}


def make_engine(
    model: Model,
    file: Path,
    options: BuildOptions,
    flavour: Flavour,
    timing_cache: Path | None = None,
    calibration: Mapping[str, Any] = NOTHING,
    force: bool = False,
) -> tuple[Passport, bool]:
    """Builds the engine of a model and writes its files. Returns its passport, and True if it existed already.

    A valid engine in `file` with the same `Passport.key` is not built again unless `force` is set.
    calibration: for the passport. timing_cache: see `build`.
    Raises EngineError, ConfigError and SinkError. TensorRT builds for the GPU of this machine, so it also raises
    MissingDependencyError and DeviceError if the GPU cannot be used.
    """
    passport = _requested_passport(model, options, flavour, calibration)
    existing = None if force else _existing(file)
    if existing is not None and existing.key() == passport.key():
        return existing, True
    plan = build(model.onnx, model.name, options, flavour, timing_cache)
    passport = replace(passport, engine_sha256=digest(plan.content), inputs=plan.inputs, outputs=plan.outputs)
    write_engine(file, plan.content, model.onnx, passport)
    written = _existing(file)
    if written is None or written.engine_sha256 != passport.engine_sha256:
        raise EngineError(
            f"{file}: differs from the engine that was written: another process writes there; export to another folder"
        )
    lines = (f"{level}: {line}" for level, line in flavour.log.lines)
    write_atomically(("\n".join(lines) + "\n").encode(), companion_file(file, LOG))
    return passport, False


def note_verification(file: Path, result: Mapping[str, Any]) -> None:
    """Adds the result of a verification to the passport of an engine and signs it again. Raises as `read_engine`."""
    passport = read_engine(file).passport
    write_atomically(replace(passport, verification=result).signed(), companion_file(file.resolve(), PASSPORT))


def rebuild(file: Path) -> Passport:
    """Builds an engine again from the ONNX file next to it.

    The options are those of its passport if the passport is trusted, else those for the presets of the model. An engine
    that was built for other GPUs is built for the GPU of this machine.
    Raises EngineError if a trusted passport belongs to another ONNX file or if TensorRT-RTX has no engines for this
    GPU, and as `make_engine`.
    """
    resolved = Path(os.path.realpath(file))  # realpath leaves circular symlinks, which then cannot be read
    source_file = companion_file(resolved, SOURCE)
    source = read_regular(source_file, MAX_MODEL_SIZE)
    model = parse_model(source, str(source_file))
    options, flavour = BuildOptions.of(model), "auto"
    try:
        passport = Passport.read(read_regular(companion_file(resolved, PASSPORT), MAX_PASSPORT_SIZE), str(resolved))
    except EngineError:
        passport = None  # its options are not trusted
    if passport is not None:
        if digest(source) != passport.onnx_sha256:
            raise EngineError(f"{source_file}: not the model that the engine was built from; export the engine again")
        options, flavour = passport.options, passport.flavour
    opened = _open_or_replace(flavour)
    if opened.name != flavour:  # these options are specific to a flavour
        options = options.replace(compute_capabilities="", version_compatible=False, hardware_compatible=False)
    capability = _machine(opened)["built_on"]
    machine = Environment.of(opened, capability)
    if capability and machine.unsupported:
        product = f"{opened.name} {opened.version}"
        raise EngineError(
            f"{file}: {product} builds no engines for this GPU, {capability}; it builds them for "
            f"{', '.join(opened.capabilities())}; {machine.remedy(str(file))}"
        )
    if capability and capability not in options.capabilities():
        options = options.replace(compute_capabilities="")
    calibration = passport.calibration if passport else NOTHING
    return make_engine(model, resolved, options, opened, calibration=calibration, force=True)[0]


def _requested_passport(
    model: Model, options: BuildOptions, flavour: Flavour, calibration: Mapping[str, Any]
) -> Passport:
    """The passport without the fields that are known only after the build."""
    machine = _machine(flavour)
    return Passport(
        engine_sha256="",
        onnx_sha256=digest(model.onnx),
        weights_sha256=model.weights_sha256,
        flavour=flavour.name,
        version=flavour.version,
        built_on=machine["built_on"],
        cuda=machine["cuda"],
        driver=machine["driver"],
        precision=model.precision,
        options=options,
        inputs=(),
        outputs=(),
        config=model.config.to_mapping(),
        made_by=f"dcfnet {__version__}",
        calibration=calibration,
    )


def _machine(flavour: Flavour) -> dict[str, str]:
    """The GPU of this machine; empty strings if there is none, because TensorRT-RTX builds without a GPU."""
    try:
        from dcfnet.devices.cuda.device import CudaDevice

        device = CudaDevice()
    except (MissingDependencyError, DeviceError):
        if flavour.name == "tensorrt":
            raise
        return {"built_on": "", "cuda": "", "driver": ""}
    return {"built_on": device.compute_capability, "cuda": device.cuda, "driver": device.driver}


def _existing(file: Path) -> Passport | None:
    """The passport of an existing engine; None if there is none or a check fails."""
    try:
        return read_engine(file).passport
    except ModelError:
        return None


def _open_or_replace(flavour: str) -> Flavour:
    """This flavour, or the installed one if it is not installed."""
    try:
        return open_flavour(flavour)
    except MissingDependencyError:
        return open_flavour()
