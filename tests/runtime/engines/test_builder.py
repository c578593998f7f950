"""The builder: it accepts each option or names it in the error, and errors of the parser are reported."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import onnx
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.engines import builder
from dcfnet.engines import flavour as flavours
from dcfnet.engines.builder import Binding, build
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError, MissingDependencyError

FEATURES = Binding("features", "float", (-1, 32, -1, -1))


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0", "8.6,8.9,12.0", ""])
def test_engines_are_built_without_a_gpu(rtx: Flavour, capability: str) -> None:
    model = load_model("dcfnet")
    plan = build(model.onnx, "m", BuildOptions.of(model, compute_capabilities=capability), rtx)
    assert len(plan.content) > 100_000
    assert (plan.inputs, plan.outputs) == ((Binding("patches", "float", (-1, 3, -1, -1)),), (FEATURES,))


@pytest.mark.parametrize("changes", [{"tf32": True}, {"optimisation_level": 0}, {"optimisation_level": 5}])
def test_the_builder_accepts_all_options(rtx: Flavour, changes: dict[str, object]) -> None:
    model = load_model("dcfnet")
    assert build(model.onnx, "m", BuildOptions.of(model, **changes), rtx).content


def test_the_profile_covers_the_presets(rtx: Flavour) -> None:
    model = load_model("dcfnet")
    options = BuildOptions.of(model, targets=8)
    assert options.batches() == (1, 24, 24)
    assert options.sides() == (80, 108, 126)
    assert BuildOptions.of(model, targets=2, scales=5).max_batch == 10


def test_the_error_for_an_invalid_graph_names_the_node(rtx: Flavour) -> None:
    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    proto.graph.node[0].op_type = "Convolute"
    with pytest.raises(EngineError, match=r"m: tensorrt_rtx .* cannot parse it: .*Convolute"):
        build(proto.SerializeToString(), "m", BuildOptions(), rtx)


def test_bytes_that_are_not_a_graph_raise(rtx: Flavour) -> None:
    with pytest.raises(EngineError, match=r"m: tensorrt_rtx .* cannot parse it"):
        build(b"junk", "m", BuildOptions(), rtx)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute_capabilities": "9.9"}, "does not support 9.9; there are 7.5"),
        (
            {"version_compatible": True, "hardware_compatible": True},
            r"version_compatible, hardware_compatible: not supported by TensorRT-RTX.*leave it out",
        ),
    ],
)
def test_options_that_rtx_does_not_support_raise(rtx: Flavour, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(b"", "m", BuildOptions.from_mapping(changes), rtx)


def test_tensorrt_builds_for_the_gpu_of_this_machine_only(rtx: Flavour) -> None:
    full = Flavour("tensorrt", "11.4", rtx.module, rtx.log)  # with the classes of TensorRT-RTX
    with pytest.raises(ConfigError, match="TensorRT builds for the GPU of this machine only; leave it out"):
        build(b"", "m", BuildOptions(compute_capabilities="8.6"), full)


@pytest.mark.parametrize("before", [None, b"not timings", b"timings"])
def test_the_timing_cache_is_saved_also_if_the_old_one_is_unusable(
    rtx: Flavour, tmp_path: Path, before: bytes | None
) -> None:
    """With a mock, because TensorRT-RTX has these methods but stores no timings."""
    file, config = tmp_path / "cache" / "timings", Mock(spec=rtx.module.IBuilderConfig)
    config.create_timing_cache.side_effect = lambda content: None if content == b"not timings" else content
    config.get_timing_cache.return_value.serialize.return_value = b"new timings"
    if before is not None:
        file.parent.mkdir()
        file.write_bytes(before)
    builder._load_timing_cache(config, file)
    config.set_timing_cache.assert_called_once_with(before if before == b"timings" else b"", False)
    builder._save_timing_cache(config, file)
    assert file.read_bytes() == b"new timings"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_batch": 4, "opt_batch": 3}, "batch: min 4, opt 3, max 3: must be min <= opt <= max"),
        ({"max_side": 90}, "side: min 108, opt 108, max 90: must be min <= opt <= max"),
        ({"compute_capabilities": "sm86"}, "compute capabilities, for example 8.6,8.9"),
        ({"optimisation_level": 6}, "optimisation_level=6"),
        ({"tf32": 1}, "tf32=1: must be true or false"),
    ],
)
def test_invalid_options_raise(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BuildOptions.from_mapping(values)


def test_the_error_for_a_missing_tensorrt_names_the_cause_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"lib{name}.so: cannot open shared object file")

    monkeypatch.setattr(flavours, "import_module", absent)
    with pytest.raises(MissingDependencyError) as caught:
        open_flavour()
    for part in ("tensorrt or tensorrt_rtx", "libtensorrt_rtx.so", r"dcfnet[rtx]"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match="there are auto, tensorrt, tensorrt_rtx"):
        open_flavour("trt")
