"""Building: every option is taken by the real builder or refused by name, and what does not parse says why."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import onnx
import pytest
from dcfnet.engines import builder
from dcfnet.engines import flavour as flavours
from dcfnet.engines.builder import Binding, build
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError, MissingDependencyError
from dcfnet.model import load_model

FEATURES = Binding("features", "float", (-1, 32, -1, -1))


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0", "8.6,8.9,12.0", ""])
def test_engines_are_built_with_no_gpu(rtx: Flavour, capability: str) -> None:
    model = load_model()
    plan = build(model.onnx, "m", BuildOptions.of(model, compute_capabilities=capability), rtx)
    assert len(plan.content) > 100_000
    assert (plan.inputs, plan.outputs) == ((Binding("patches", "float", (-1, 3, -1, -1)),), (FEATURES,))


@pytest.mark.parametrize("changes", [{"tf32": True}, {"optimisation_level": 0}, {"optimisation_level": 5}])
def test_options_reach_the_builder(rtx: Flavour, changes: dict[str, object]) -> None:
    model = load_model()
    assert build(model.onnx, "m", BuildOptions.of(model, **changes), rtx).content


def test_the_profile_is_that_of_the_presets(rtx: Flavour) -> None:
    model = load_model()
    options = BuildOptions.of(model, targets=8)
    assert options.batches() == (1, 24, 24)
    assert options.sides() == (80, 108, 126)
    assert BuildOptions.of(model, targets=2, scales=5).max_batch == 10


def test_a_graph_that_does_not_parse_says_where(rtx: Flavour) -> None:
    proto = onnx.load_from_string(load_model().onnx)
    proto.graph.node[0].op_type = "Convolute"
    with pytest.raises(EngineError, match=r"m: tensorrt_rtx .* does not parse it: .*Convolute"):
        build(proto.SerializeToString(), "m", BuildOptions(), rtx)


def test_bytes_that_are_no_graph_are_named(rtx: Flavour) -> None:
    with pytest.raises(EngineError, match="does not parse it"):
        build(b"junk", "m", BuildOptions(), rtx)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"compute_capabilities": "9.9"}, "knows no 9.9; there are 7.5"),
        ({"version_compatible": True, "hardware_compatible": True}, "version_compatible, hardware_compatible"),
    ],
)
def test_what_rtx_does_not_have_is_refused(rtx: Flavour, changes: dict[str, object], shown: str) -> None:
    with pytest.raises(ConfigError, match=shown):
        build(b"", "m", BuildOptions.from_mapping(changes), rtx)


def test_tensorrt_itself_builds_for_the_gpu_it_finds(rtx: Flavour) -> None:
    full = Flavour("tensorrt", "11.4", rtx.module, rtx.journal)  # its classes are RTX's, as far as they are used here
    with pytest.raises(ConfigError, match="TensorRT builds for the GPU of this machine"):
        build(b"", "m", BuildOptions(compute_capabilities="8.6"), full)


@pytest.mark.parametrize("before", [None, b"not timings", b"timings"])
def test_timings_are_kept_whatever_was_there(rtx: Flavour, tmp_path: Path, before: bytes | None) -> None:
    """A stand-in with the real class's methods alone: TensorRT-RTX has them, and keeps no timings."""
    file, config = tmp_path / "cache" / "timings", Mock(spec=rtx.module.IBuilderConfig)
    config.create_timing_cache.side_effect = lambda held: None if held == b"not timings" else held
    config.get_timing_cache.return_value.serialize.return_value = b"new timings"
    if before is not None:
        file.parent.mkdir()
        file.write_bytes(before)
    builder._load_timings(config, file)
    config.set_timing_cache.assert_called_once_with(before if before == b"timings" else b"", False)
    builder._keep_timings(config, file)
    assert file.read_bytes() == b"new timings"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"min_batch": 4, "opt_batch": 3}, "batch: min 4, opt 3, max 3 must not fall"),
        ({"max_side": 90}, "side: min 108, opt 108, max 90 must not fall"),
        ({"compute_capabilities": "sm86"}, "compute capabilities such as 8.6,8.9"),
        ({"optimisation_level": 6}, "optimisation_level=6"),
        ({"tf32": 1}, "tf32=1: must be true or false"),
    ],
)
def test_options_that_make_no_engine_are_named(values: dict[str, object], shown: str) -> None:
    with pytest.raises(ConfigError, match=shown):
        BuildOptions.from_mapping(values)


def test_a_missing_tensorrt_names_what_was_found_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"lib{name}.so: cannot open shared object file")

    monkeypatch.setattr(flavours, "import_module", absent)
    with pytest.raises(MissingDependencyError) as told:
        open_flavour()
    for part in ("tensorrt or tensorrt_rtx", "libtensorrt_rtx.so", r"dcfnet[rtx]"):
        assert part in str(told.value)
    with pytest.raises(ConfigError, match="there are auto, tensorrt, tensorrt_rtx"):
        open_flavour("trt")
