"""Running an engine: by the real runtime up to where a GPU is needed, beyond it by stand-ins with its methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones import open_backbone, trt
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.trt import TrtBackbone
from dcfnet.engines.builder import Binding
from dcfnet.engines.fit import Environment, misfits
from dcfnet.engines.flavour import Flavour
from dcfnet.engines.make import make_engine
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport
from dcfnet.errors import ConfigError, DeviceError, EngineError, ModelError
from dcfnet.model import Engine, Model, load_model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.precision import convert
from numpy.testing import assert_array_equal

from tests.runtime.engines.standins import HostDevice, standin


def skip_where_a_gpu_is() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")


HERE = Environment("tensorrt_rtx", "1.7.1.116", "8.6")


@pytest.fixture
def model(engine: Path) -> Model:
    return load_model(engine)


def passport_of(model: Model, **changes: object) -> Passport:
    assert model.engine is not None
    options = model.engine.passport.options
    known = options.to_mapping()
    return replace(
        model.engine.passport,
        **{name: value for name, value in changes.items() if name not in known},  # type: ignore[arg-type]
        options=options.replace(**{name: value for name, value in changes.items() if name in known}),
    )


def test_it_fits_where_it_was_built_for(model: Model) -> None:
    assert misfits(passport_of(model), HERE, batch=3, side=108) == []


@pytest.mark.parametrize(
    ("changes", "here", "side", "shown"),
    [
        ({}, replace(HERE, flavour="tensorrt"), 108, "flavour: built with tensorrt_rtx, here is tensorrt"),
        ({}, replace(HERE, version="1.8.0.1"), 108, "version: built with tensorrt_rtx 1.7.1.116, here is 1.8.0.1"),
        ({}, replace(HERE, compute_capability="9.0"), 108, "built for 8.6,8.9, this GPU has 9.0"),
        (
            {"compute_capabilities": ""},
            replace(HERE, compute_capability="7.5"),
            108,
            "built for 8.0+, this GPU has 7.5",
        ),
        ({}, HERE, 64, "profile: takes a side from 80 to 126, needed is 64"),
        ({"min_batch": 2}, HERE, 108, "profile: takes a batch from 2 to 3, needed is 1"),
        ({"inputs": (Binding("images", "float", (-1, 3, -1, -1)),)}, HERE, 108, "'images'"),
        ({"inputs": (Binding("patches", "int8", (-1, 3, -1, -1)),)}, HERE, 108, "'int8'"),
        (
            {"outputs": (Binding("features", "half", (-1, 32, -1, -1)),)},
            HERE,
            108,
            "needed is one ('features', 'float', None)",
        ),
        (
            {"inputs": (Binding("patches", "float", (-1, 1, -1, -1)),)},
            HERE,
            108,
            "needed is one ('patches', 'float or half', 3)",
        ),
        ({"inputs": (Binding("patches", "float", (-1,)),)}, HERE, 108, "('patches', 'float', 0)"),
        ({"outputs": ()}, HERE, 108, "has [], needed is one ('features'"),
    ],
)
def test_every_field_that_differs_is_named(
    model: Model, changes: dict[str, object], here: Environment, side: int, shown: str
) -> None:
    (told,) = misfits(passport_of(model, **changes), here, 1, side)
    assert shown in told


def test_all_differences_are_told_at_once(model: Model) -> None:
    told = misfits(passport_of(model), Environment("tensorrt_rtx", "1.8", "9.0"), 1, 500)
    assert [line.partition(":")[0] for line in told] == ["version", "compute capability", "profile"]


@pytest.mark.parametrize(
    ("changes", "version", "capability", "fits"),
    [
        ({"built_on": "8.9"}, "10.3.0", "8.9", True),
        ({"built_on": "8.9"}, "10.3.0", "8.6", False),
        ({"built_on": "8.9"}, "10.4.0", "8.9", False),
        ({"built_on": "8.9", "version_compatible": True}, "10.4.0", "8.9", True),
        ({"built_on": "8.9", "version_compatible": True}, "10.2.0", "8.9", False),
        ({"built_on": "8.9", "version_compatible": True}, "11.0.0", "8.9", False),
        ({"built_on": "8.9", "hardware_compatible": True}, "10.3.0", "12.0", True),
        ({"built_on": "8.9", "hardware_compatible": True}, "10.3.0", "7.5", False),
    ],
)
def test_tensorrts_own_rules_of_what_runs_where(
    model: Model, changes: dict[str, object], version: str, capability: str, fits: bool
) -> None:
    passport = passport_of(model, flavour="tensorrt", version="10.3.0", compute_capabilities="", **changes)
    assert (not misfits(passport, Environment("tensorrt", version, capability), 1, 108)) == fits


def test_what_does_not_fit_is_never_deserialised(model: Model, rtx: Flavour) -> None:
    flavour = standin(rtx, model.onnx)
    with pytest.raises(EngineError, match=r"net\.engine: not for here: compute capability: .* --rebuild"):
        TrtBackbone(model, 108, flavour, HostDevice("9.0"))
    flavour.module.Runtime.assert_not_called()


def test_the_real_runtime_refuses_without_a_gpu_and_says_why(model: Model, rtx: Flavour) -> None:
    """The bytes reach the real runtime, which finds no driver."""
    skip_where_a_gpu_is()
    with pytest.raises(EngineError, match=r"tensorrt_rtx \S+ refuses it: .*CUDA"):
        TrtBackbone(model, 108, rtx, HostDevice("8.6"))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_features_are_those_of_the_graph(model: Model, rtx: Flavour, rng: np.random.Generator, count: int) -> None:
    """Seven patches go through an engine for three in turns, from memory that is aligned as TensorRT asks."""
    flavour = standin(rtx, model.onnx)
    backbone = TrtBackbone(model, 108, flavour, HostDevice())
    patches = rng.normal(0, 60, (count, 3, 108, 108)).astype(np.float32)
    assert_array_equal(backbone(patches), OrtBackbone(model)(patches))


def test_an_engine_of_half_precision_takes_halves(rtx: Flavour, tmp_path: Path, rng: np.random.Generator) -> None:
    """Built for real; patches of either type are given, and hold the same numbers."""
    model, file = convert(load_model(), "fp16", "tensorrt"), tmp_path / "half.engine"
    make_engine(model, file, BuildOptions.of(model, compute_capabilities="8.6"), rtx)
    backbone = TrtBackbone(load_model(file), 108, standin(rtx, model.onnx), HostDevice())
    assert backbone.takes is np.float16
    patches = rng.integers(-123, 152, (3, 3, 108, 108)).astype(np.float32)
    for given in (patches, patches.astype(np.float16)):
        assert_array_equal(backbone(given), OrtBackbone(model)(patches))


def test_host_code_in_a_plan_is_not_allowed(model: Model, rtx: Flavour) -> None:
    flavour = standin(rtx, model.onnx)
    TrtBackbone(model, 108, flavour, HostDevice())
    assert flavour.module.runtime.engine_host_code_allowed is False
    assert model.engine is not None
    flavour.module.runtime.deserialize_cuda_engine.assert_called_once_with(model.engine.plan)


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ({"names": ("images", "features")}, "has tensors"),
        ({"names": ("patches", "features", "debug")}, "has tensors"),
        ({"context": None}, "no memory to run it in"),
    ],
)
def test_an_engine_that_is_not_its_passports_is_refused(
    model: Model, rtx: Flavour, wrong: dict[str, object], shown: str
) -> None:
    with pytest.raises(EngineError, match=shown):
        TrtBackbone(model, 108, standin(rtx, model.onnx, **wrong), HostDevice())


def test_an_engine_that_stops_running_says_on_what(model: Model, rtx: Flavour) -> None:
    backbone = TrtBackbone(model, 108, standin(rtx, model.onnx, runs=False), HostDevice())
    with pytest.raises(EngineError, match=r"did not run on patches \(2, 3, 108, 108\)"):
        backbone(np.zeros((2, 3, 108, 108), np.float32))


def test_a_tracker_on_an_engine_gives_the_boxes_of_the_model(
    engine: Path, rtx: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_model(engine).onnx
    monkeypatch.setattr(trt, "open_flavour", lambda name: standin(rtx, plain))
    monkeypatch.setattr(trt, "_open_device", lambda name: HostDevice())
    trackers = [dcfnet.Tracker(engine), dcfnet.Tracker(engine="onnxruntime")]
    boxes = []
    for index, (frame, box) in enumerate(clip):
        if index == 0:
            for tracker in trackers:
                tracker.init(frame, box)
        else:
            boxes.append([tuple(tracker.update(frame).box) for tracker in trackers])
    for one, other in boxes:
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_features_of_another_size_are_refused(engine: Path, rtx: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "open_flavour", lambda name: standin(rtx, load_model().onnx, stride=1))
    monkeypatch.setattr(trt, "_open_device", lambda name: HostDevice())
    with pytest.raises(ModelError, match=r"gives .* for two patches"):
        dcfnet.Tracker(engine)


def test_an_engine_where_no_gpu_is_ends_in_a_typed_error(engine: Path) -> None:
    skip_where_a_gpu_is()
    with pytest.raises(DeviceError, match=r"an engine runs on an NVIDIA GPU, .* use .*net\.engine\.onnx"):
        dcfnet.Tracker(engine)


def test_an_engine_on_the_cpu_is_refused_and_its_model_named(engine: Path) -> None:
    with pytest.raises(ConfigError, match=r"an engine, for GPUs; .*net\.engine\.onnx beside it runs here"):
        dcfnet.Tracker(engine, device="cpu")
    dcfnet.Tracker(f"{engine}.onnx", device="cpu")


def test_a_model_is_no_engine(rtx: Flavour) -> None:
    with pytest.raises(ModelError, match="not an engine; dcfnet-export --trt makes one"):
        open_backbone(load_model(), "tensorrt")


def test_a_graph_that_holds_the_window_takes_one_size_alone() -> None:
    model = replace(load_model(), folded=("window",))
    with pytest.raises(ConfigError, match="holds the window of 126 px, and takes no other"):
        open_backbone(model, side=108)


def test_the_engine_of_a_model_is_what_runs(model: Model) -> None:
    assert isinstance(model.engine, Engine)
