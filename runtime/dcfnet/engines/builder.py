"""Builds a plan from ONNX bytes with TensorRT or TensorRT-RTX, strongly typed.

The ONNX file defines the precision (casts, Q/DQ nodes), so no option selects it. TensorRT 11 has no precision flags;
the strong typing of TensorRT 10 has the same meaning.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcfnet.engines.flavour import Flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError
from dcfnet.io.files import write_atomically


@dataclass(frozen=True)
class Binding:
    """An input or output of an engine. dtype: TensorRT's name for it. shape: -1 for dynamic dimensions."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, dtype: Any, shape: Any) -> Binding:
        """A binding from the dtype and shape that TensorRT reports."""
        return cls(name, str(dtype).rpartition(".")[2].lower(), tuple(int(side) for side in shape))


@dataclass(frozen=True)
class Plan:
    """A built engine: its serialised bytes, its inputs and its outputs."""

    content: bytes
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]


def build(onnx: bytes, name: str, options: BuildOptions, flavour: Flavour, timing_cache: Path | None = None) -> Plan:
    """Builds the plan of a model. It takes seconds with TensorRT-RTX, and up to minutes with TensorRT.

    name: for messages. timing_cache: a file that is read if it exists and written after the build; TensorRT only.
    Raises ConfigError for options that the flavour does not support, and EngineError with the errors of the parser or
    the builder.
    """
    _check_options(options, flavour, timing_cache)
    trt = flavour.module
    builder = trt.Builder(flavour.log)
    typed = getattr(
        trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None
    )  # TensorRT 11 has no flag: all its networks are
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, flavour.log)
    if not parser.parse(onnx):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"{name}: {flavour.name} {flavour.version} cannot parse it: {errors or flavour.errors()}")
    config = _builder_config(builder, options, flavour)
    _load_timing_cache(config, timing_cache)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise EngineError(f"{name}: {flavour.name} {flavour.version} cannot build it: {flavour.errors()}")
    _save_timing_cache(config, timing_cache)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    bindings = (tuple(Binding.of(t.name, t.dtype, t.shape) for t in tensors) for tensors in (inputs, outputs))
    return Plan(bytes(content), *bindings)


def _check_options(options: BuildOptions, flavour: Flavour, timing_cache: Path | None) -> None:
    """Raises ConfigError that names the options that the flavour does not support."""
    if flavour.name == "tensorrt" and options.capabilities():
        raise ConfigError(
            f"compute_capabilities={options.compute_capabilities!r}: TensorRT builds for the GPU of this machine "
            "only; leave it out, build with tensorrt_rtx, or set hardware_compatible"
        )
    requested = {
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "timing cache": timing_cache is not None,
    }
    if flavour.name == "tensorrt_rtx" and any(requested.values()):
        names = ", ".join(name for name, value in requested.items() if value)
        raise ConfigError(f"{names}: not supported by TensorRT-RTX, which compiles on the GPU it runs on; leave it out")
    known = flavour.capabilities()
    unknown = [name for name in options.capabilities() if name not in known]
    if unknown:
        raise ConfigError(
            f"compute_capabilities={options.compute_capabilities!r}: {flavour.name} {flavour.version} does not "
            f"support {', '.join(unknown)}; there are {', '.join(known)}"
        )


def _builder_config(builder: Any, options: BuildOptions, flavour: Flavour) -> Any:
    """The options as a builder config of TensorRT."""
    trt, config = flavour.module, builder.create_builder_config()
    config.builder_optimization_level = options.optimisation_level
    set_tf32 = config.set_flag if options.tf32 else config.clear_flag  # TensorRT enables it by default
    set_tf32(trt.BuilderFlag.TF32)
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX: required for graph capture
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)  # else the plan contains host code, which must never run
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.capabilities():
        known = flavour.capabilities()
        config.num_compute_capabilities = len(options.capabilities())
        for index, name in enumerate(options.capabilities()):
            config.set_compute_capability(known[name], index)
    profile = builder.create_optimization_profile()
    shapes = zip(options.batches(), options.sides(), strict=True)
    profile.set_shape("patches", *((batch, 3, side, side) for batch, side in shapes))
    config.add_optimization_profile(profile)
    return config


def _load_timing_cache(config: Any, file: Path | None) -> None:
    """Gives the builder the timings of earlier builds. An unusable file is ignored."""
    if file is None:
        return
    content = b""
    with suppress(OSError):
        content = file.read_bytes()
    cache = config.create_timing_cache(content) or config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)


def _save_timing_cache(config: Any, file: Path | None) -> None:
    cache = config.get_timing_cache() if file is not None else None
    if file is not None and cache is not None:
        write_atomically(bytes(cache.serialize()), file)
