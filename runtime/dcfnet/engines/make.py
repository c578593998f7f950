"""From a model to an engine on disk, and anew where one is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dcfnet
from dcfnet.engines.builder import build
from dcfnet.engines.bundle import PASSPORT, SOURCE, beside, read_engine, read_regular, write_engine
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport, digest
from dcfnet.errors import DeviceError, EngineError, MissingDependencyError, ModelError
from dcfnet.model import Model, parse_model
from dcfnet.sinks import write_whole

LOG = ".log"  # what the builder said, after the engine's whole name
NOTHING: Mapping[str, Any] = {}


def make_engine(
    model: Model,
    file: Path,
    options: BuildOptions,
    flavour: Flavour,
    timing_cache: Path | None = None,
    calibration: Mapping[str, Any] = NOTHING,
    anew: bool = False,
) -> tuple[Passport, bool]:
    """Builds the model's graph and writes the engine's files; its passport, and whether it was there already.

    An engine in `file` that was asked for in the same words (`Passport.key`), and whose checks hold, is left as it is,
    unless it is wanted anew. calibration: for the passport.
    Raises EngineError, ConfigError and SinkError, and MissingDependencyError where
    TensorRT builds for a GPU that nothing can ask which it is.
    """
    passport = _asked(model, options, flavour, calibration)
    there = None if anew else _standing(file)
    if there is not None and there.key() == passport.key():
        return there, True
    plan = build(model.onnx, model.name, options, flavour, timing_cache)
    passport = replace(passport, engine_sha256=digest(plan.content), inputs=plan.inputs, outputs=plan.outputs)
    write_engine(file, plan.content, model.onnx, passport)
    written = _standing(file)
    if written is None or written.engine_sha256 != passport.engine_sha256:
        raise EngineError(f"{file}: is not what was written, something else writes there; export it to another folder")
    lines = (f"{level}: {line}" for level, line in flavour.journal.lines)
    write_whole(("\n".join(lines) + "\n").encode(), beside(file, LOG))
    return passport, False


def note_verification(file: Path, found: Mapping[str, Any]) -> None:
    """Puts what a verification found into the passport of an engine, and signs it again. Raises as `read_engine`."""
    engine = read_engine(file).engine
    if engine is not None:
        write_whole(replace(engine.passport, verification=found).signed(), beside(file.resolve(), PASSPORT))


def rebuild(file: Path) -> Passport:
    """Builds an engine anew, from the ONNX file beside it: with the options of its passport, where that can be trusted,
    else with those of the model's presets; for this machine's GPU where it was built for others.

    Raises EngineError where that ONNX file is not the one of a passport that can be trusted, and as `make_engine`.
    """
    place = Path(os.path.realpath(file))  # a link that leads in a circle as it is: it cannot be read
    source = read_regular(beside(place, SOURCE))
    model = parse_model(source, str(beside(place, SOURCE)))
    options, flavour = BuildOptions.of(model), "auto"
    try:
        passport = Passport.read(read_regular(beside(place, PASSPORT)), str(place))
    except EngineError:
        passport = None  # nobody's word: what it asks for is not asked for again
    if passport is not None:
        if digest(source) != passport.onnx_sha256:
            raise EngineError(f"{beside(place, SOURCE)}: not the file the engine was built from; export it anew")
        options, flavour = passport.options, passport.flavour
    opened = _installed(flavour)
    if opened.name != flavour:  # the other one has other options
        options = options.replace(compute_capabilities="", version_compatible=False, hardware_compatible=False)
    here = _machine(opened)["built_on"]
    if here and here not in options.capabilities():
        options = options.replace(compute_capabilities="")
    calibration = passport.calibration if passport else NOTHING
    return make_engine(model, place, options, opened, calibration=calibration, anew=True)[0]


def _asked(model: Model, options: BuildOptions, flavour: Flavour, calibration: Mapping[str, Any]) -> Passport:
    """The passport, as far as it is known before anything is built."""
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
        made_by=f"dcfnet {dcfnet.__version__}",
        calibration=calibration,
    )


def _machine(flavour: Flavour) -> dict[str, str]:
    """The GPU here; TensorRT-RTX builds without any, and for named ones."""
    try:
        from dcfnet.device import CudaDevice

        device = CudaDevice()
    except (MissingDependencyError, DeviceError):
        if flavour.name == "tensorrt":
            raise
        return {"built_on": "", "cuda": "", "driver": ""}
    return {"built_on": device.compute_capability, "cuda": device.cuda, "driver": device.driver}


def _standing(file: Path) -> Passport | None:
    """The passport of an engine that is there and whose checks hold."""
    try:
        engine = read_engine(file).engine
    except ModelError:
        return None
    return engine.passport if engine else None


def _installed(flavour: str) -> Flavour:
    """That flavour, or the one that is installed in its place."""
    try:
        return open_flavour(flavour)
    except MissingDependencyError:
        return open_flavour()
