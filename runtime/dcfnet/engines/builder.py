"""From a model's ONNX bytes to a plan: parsed and built by TensorRT or TensorRT-RTX, strongly typed.

Precision is a property of the ONNX file (casts, Q/DQ nodes), so nothing here chooses any: TensorRT 11 has no flags for
it, and with TensorRT 10's strong typing the same file means the same.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcfnet.engines.flavour import Flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError
from dcfnet.sinks import write_whole


@dataclass(frozen=True)
class Binding:
    """An input or output of an engine: dtype as TensorRT names it, shape with -1 where it is chosen in each call."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, dtype: Any, shape: Any) -> Binding:
        """From what TensorRT says of a tensor."""
        return cls(name, str(dtype).rpartition(".")[2].lower(), tuple(int(side) for side in shape))


@dataclass(frozen=True)
class Plan:
    """A built engine: its serialised bytes, and what goes in and comes out."""

    content: bytes
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]


def build(onnx: bytes, name: str, options: BuildOptions, flavour: Flavour, timing_cache: Path | None = None) -> Plan:
    """The plan of a model; `name` stands in messages. Takes seconds with TensorRT-RTX, up to minutes with TensorRT.

    timing_cache: read where it is there, written whole afterwards; TensorRT only.
    Raises ConfigError for options that the flavour does not have, and EngineError saying what the parser or the builder
    did not take.
    """
    _check(options, flavour, timing_cache)
    trt = flavour.module
    builder = trt.Builder(flavour.journal)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # from TensorRT 11 on all networks are
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, flavour.journal)
    if not parser.parse(onnx):
        told = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"{name}: {flavour.name} {flavour.version} does not parse it: {told or flavour.errors()}")
    config = _configured(builder, options, flavour)
    _load_timings(config, timing_cache)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise EngineError(f"{name}: {flavour.name} {flavour.version} does not build it: {flavour.errors()}")
    _keep_timings(config, timing_cache)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    described = (tuple(Binding.of(t.name, t.dtype, t.shape) for t in tensors) for tensors in (inputs, outputs))
    return Plan(bytes(content), *described)


def _check(options: BuildOptions, flavour: Flavour, timing_cache: Path | None) -> None:
    """Raises ConfigError naming what the flavour cannot do."""
    if flavour.name == "tensorrt" and options.capabilities():
        raise ConfigError(
            f"compute_capabilities={options.compute_capabilities!r}: TensorRT builds for the GPU of this machine; "
            "leave it out, build with tensorrt_rtx, or set hardware_compatible"
        )
    wanted = {
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "timing cache": timing_cache is not None,
    }
    if flavour.name == "tensorrt_rtx" and any(wanted.values()):
        told = ", ".join(name for name, given in wanted.items() if given)
        raise ConfigError(f"{told}: TensorRT-RTX has none (it compiles on the GPU it finds); leave it out")
    known = _capabilities(flavour.module)
    unknown = [name for name in options.capabilities() if name not in known]
    if unknown:
        raise ConfigError(
            f"compute_capabilities={options.compute_capabilities!r}: {flavour.name} {flavour.version} knows no "
            f"{', '.join(unknown)}; there are {', '.join(known)}"
        )


def _capabilities(trt: Any) -> dict[str, Any]:
    """What can be built for, by its usual name: {"8.6": ComputeCapability.SM86}."""
    there = getattr(trt, "ComputeCapability", None)
    names = [name for name in dir(there) if name.startswith("SM") and name[2:].isdecimal()]
    return {f"{name[2:-1]}.{name[-1]}": getattr(there, name) for name in sorted(names, key=lambda name: int(name[2:]))}


def _configured(builder: Any, options: BuildOptions, flavour: Flavour) -> Any:
    """The builder's own form of the options."""
    trt, config = flavour.module, builder.create_builder_config()
    config.builder_optimization_level = options.optimisation_level
    set_tf32 = config.set_flag if options.tf32 else config.clear_flag  # on unless it is taken away
    set_tf32(trt.BuilderFlag.TF32)
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # of TensorRT-RTX: else no graph can be captured of it
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)  # else the plan holds host code, which is never allowed
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.capabilities():
        known = _capabilities(trt)
        config.num_compute_capabilities = len(options.capabilities())
        for index, name in enumerate(options.capabilities()):
            config.set_compute_capability(known[name], index)
    profile = builder.create_optimization_profile()
    shapes = zip(options.batches(), options.sides(), strict=True)
    profile.set_shape("patches", *((batch, 3, side, side) for batch, side in shapes))
    config.add_optimization_profile(profile)
    return config


def _load_timings(config: Any, file: Path | None) -> None:
    """Gives the builder the timings of earlier builds; a file that cannot be used is as none."""
    if file is None:
        return
    content = b""
    with suppress(OSError):
        content = file.read_bytes()
    cache = config.create_timing_cache(content) or config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)


def _keep_timings(config: Any, file: Path | None) -> None:
    cache = config.get_timing_cache() if file is not None else None
    if file is not None and cache is not None:
        write_whole(bytes(cache.serialize()), file)
