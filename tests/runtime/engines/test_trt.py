"""The TensorRT backbone: with the real runtime where no GPU is needed, else with stand-ins for its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones import trt
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.backbones.trt import TrtBackbone
from dcfnet.engines.builder import Binding
from dcfnet.engines.bundle import EngineModel
from dcfnet.engines.compatibility import Environment, incompatibilities
from dcfnet.engines.flavour import Flavour
from dcfnet.engines.make import make_engine
from dcfnet.engines.options import BuildOptions
from dcfnet.engines.passport import Passport
from dcfnet.errors import ConfigError, DeviceError, EngineError, ModelError
from dcfnet.model.file import Model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.precision import convert
from numpy.testing import assert_array_equal

from tests.runtime.engines.standins import HostDevice, standin


def skip_on_a_gpu() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("needs a machine without a GPU")


MACHINE = Environment("tensorrt_rtx", "1.7.1.116", "8.6")


@pytest.fixture
def model(engine: Path) -> Model:
    return load_model(engine)


def passport_of(model: Model, **changes: object) -> Passport:
    assert isinstance(model, EngineModel)
    options = model.passport.options
    known = options.to_mapping()
    return replace(
        model.passport,
        **{name: value for name, value in changes.items() if name not in known},  # type: ignore[arg-type]
        options=options.replace(**{name: value for name, value in changes.items() if name in known}),
    )


def test_an_engine_is_compatible_with_the_machine_it_was_built_for(model: Model) -> None:
    assert incompatibilities(passport_of(model), MACHINE, batch=3, side=108) == []


@pytest.mark.parametrize(
    ("changes", "machine", "side", "message"),
    [
        ({}, replace(MACHINE, flavour="tensorrt"), 108, "flavour: built with tensorrt_rtx, this machine has tensorrt"),
        (
            {},
            replace(MACHINE, version="1.8.0.1"),
            108,
            "version: built with tensorrt_rtx 1.7.1.116, this machine has 1.8.0.1",
        ),
        ({}, replace(MACHINE, compute_capability="9.0"), 108, "built for 8.6,8.9, this GPU has 9.0"),
        (
            {"compute_capabilities": ""},
            replace(MACHINE, compute_capability="7.5"),
            108,
            "built for 8.0+, this GPU has 7.5",
        ),
        (
            {"compute_capabilities": ""},
            replace(MACHINE, compute_capability="9.0", unsupported=True),
            108,
            "tensorrt_rtx 1.7.1.116 has no engines for this GPU, 9.0",
        ),
        ({}, MACHINE, 64, "profile: accepts a side from 80 to 126, required is 64"),
        ({"min_batch": 2}, MACHINE, 108, "profile: accepts a batch from 2 to 3, required is 1"),
        ({"inputs": (Binding("images", "float", (-1, 3, -1, -1)),)}, MACHINE, 108, "'images'"),
        ({"inputs": (Binding("patches", "int8", (-1, 3, -1, -1)),)}, MACHINE, 108, "'int8'"),
        (
            {"outputs": (Binding("features", "half", (-1, 32, -1, -1)),)},
            MACHINE,
            108,
            "required is one ('features', 'float', None)",
        ),
        (
            {"inputs": (Binding("patches", "float", (-1, 1, -1, -1)),)},
            MACHINE,
            108,
            "required is one ('patches', 'float or half', 3)",
        ),
        ({"inputs": (Binding("patches", "float", (-1,)),)}, MACHINE, 108, "('patches', 'float', 0)"),
        ({"outputs": ()}, MACHINE, 108, "has [], required is one ('features'"),
    ],
)
def test_each_incompatible_field_is_named(
    model: Model, changes: dict[str, object], machine: Environment, side: int, message: str
) -> None:
    (problem,) = incompatibilities(passport_of(model, **changes), machine, 1, side)
    assert message in problem


def test_all_incompatible_fields_are_listed(model: Model) -> None:
    problems = incompatibilities(passport_of(model), Environment("tensorrt_rtx", "1.8", "9.0"), 1, 500)
    assert [line.partition(":")[0] for line in problems] == ["version", "compute capability", "profile"]


@pytest.mark.parametrize(
    ("changes", "version", "capability", "compatible"),
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
def test_compatibility_follows_the_rules_of_tensorrt(
    model: Model, changes: dict[str, object], version: str, capability: str, compatible: bool
) -> None:
    passport = passport_of(model, flavour="tensorrt", version="10.3.0", compute_capabilities="", **changes)
    assert (not incompatibilities(passport, Environment("tensorrt", version, capability), 1, 108)) == compatible


def test_an_incompatible_engine_is_never_deserialised(model: Model, rtx: Flavour) -> None:
    flavour = standin(rtx, model.onnx)
    with pytest.raises(
        EngineError, match=r"net\.engine: cannot run here: compute capability: .*; build it again .* --rebuild"
    ):
        TrtBackbone(model, 108, flavour, HostDevice("12.0"))
    flavour.module.Runtime.assert_not_called()


@pytest.mark.parametrize(("gpu", "capability"), [("H200", "9.0"), ("Orin", "8.7")])
def test_rtx_is_refused_on_gpus_that_it_does_not_support(
    rtx: Flavour, tmp_path: Path, gpu: str, capability: str
) -> None:
    """Also for an engine for all GPUs. --rebuild would not help, so it is not the remedy."""
    model, file = load_model("dcfnet"), tmp_path / "all.engine"
    make_engine(model, file, BuildOptions.of(model), rtx)
    flavour = standin(rtx, model.onnx)
    with pytest.raises(EngineError) as caught:
        TrtBackbone(load_model(file), 108, flavour, HostDevice(capability))
    assert f"has no engines for this GPU, {capability}; export it with TensorRT" in str(caught.value)
    assert "--rebuild" not in str(caught.value)
    flavour.module.Runtime.assert_not_called()
    assert [name for name in ("8.0", "8.6", "8.9", "12.0", "12.1") if rtx.lacks(name)] == []


def test_the_error_of_the_real_runtime_without_a_gpu_is_reported(model: Model, rtx: Flavour) -> None:
    """The real runtime gets the bytes and finds no driver."""
    skip_on_a_gpu()
    with pytest.raises(EngineError, match=r"tensorrt_rtx \S+ cannot load it: .*CUDA"):
        TrtBackbone(model, 108, rtx, HostDevice("8.6"))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_features_equal_those_of_the_graph(model: Model, rtx: Flavour, rng: np.random.Generator, count: int) -> None:
    """An engine for three patches processes seven in several runs, each from aligned memory."""
    flavour = standin(rtx, model.onnx)
    backbone = TrtBackbone(model, 108, flavour, HostDevice())
    patches = rng.normal(0, 60, (count, 3, 108, 108)).astype(np.float32)
    assert_array_equal(backbone(patches), OrtBackbone(model)(patches))


def test_an_engine_of_half_precision_accepts_float16_and_float32_patches(
    rtx: Flavour, tmp_path: Path, rng: np.random.Generator
) -> None:
    """With a real plan. Both dtypes represent the same numbers."""
    model, file = convert(load_model("dcfnet"), "fp16", "tensorrt"), tmp_path / "half.engine"
    make_engine(model, file, BuildOptions.of(model, compute_capabilities="8.6"), rtx)
    backbone = TrtBackbone(load_model(file), 108, standin(rtx, model.onnx), HostDevice())
    assert backbone.input_dtype is np.float16
    patches = rng.integers(-123, 152, (3, 3, 108, 108)).astype(np.float32)
    for typed in (patches, patches.astype(np.float16)):
        assert_array_equal(backbone(typed), OrtBackbone(model)(patches))


def test_host_code_in_a_plan_is_disabled(model: Model, rtx: Flavour) -> None:
    flavour = standin(rtx, model.onnx)
    TrtBackbone(model, 108, flavour, HostDevice())
    assert flavour.module.runtime.engine_host_code_allowed is False
    assert isinstance(model, EngineModel)
    flavour.module.runtime.deserialize_cuda_engine.assert_called_once_with(model.plan)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"names": ("images", "features")}, "has tensors"),
        ({"names": ("patches", "features", "debug")}, "has tensors"),
        ({"context": None}, "no GPU memory for an execution context"),
    ],
)
def test_an_engine_that_differs_from_its_passport_or_has_no_context_raises(
    model: Model, rtx: Flavour, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        TrtBackbone(model, 108, standin(rtx, model.onnx, **wrong), HostDevice())


def test_the_error_of_a_failed_run_gives_the_shape_of_the_patches(model: Model, rtx: Flavour) -> None:
    backbone = TrtBackbone(model, 108, standin(rtx, model.onnx, runs=False), HostDevice())
    with pytest.raises(EngineError, match=r"did not run on patches \(2, 3, 108, 108\)"):
        backbone(np.zeros((2, 3, 108, 108), np.float32))


def test_a_tracker_on_an_engine_gives_the_boxes_of_its_model(
    engine: Path, rtx: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_model(engine).onnx
    monkeypatch.setattr(trt, "open_flavour", lambda name: standin(rtx, plain))
    monkeypatch.setattr(trt, "_open_device", lambda name: HostDevice())
    trackers = [dcfnet.Tracker(engine), dcfnet.Tracker("dcfnet", engine="onnxruntime")]
    boxes = []
    for index, (frame, box) in enumerate(clip):
        if index == 0:
            for tracker in trackers:
                tracker.init(frame, box)
        else:
            boxes.append([tuple(tracker.update(frame).box) for tracker in trackers])
    for one, other in boxes:
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_features_of_a_wrong_size_raise(engine: Path, rtx: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "open_flavour", lambda name: standin(rtx, load_model("dcfnet").onnx, stride=1))
    monkeypatch.setattr(trt, "_open_device", lambda name: HostDevice())
    with pytest.raises(ModelError, match=r"returns features of shape .* for two patches"):
        dcfnet.Tracker(engine)


def test_an_engine_without_a_gpu_raises_and_names_its_model(engine: Path) -> None:
    skip_on_a_gpu()
    with pytest.raises(DeviceError, match=r"an engine needs an NVIDIA GPU, .* use .*net\.engine\.onnx"):
        dcfnet.Tracker(engine)


def test_an_engine_on_the_cpu_raises_and_names_its_model(engine: Path) -> None:
    with pytest.raises(ConfigError, match=r"is an engine for GPUs; use .*net\.engine\.onnx, the model beside it"):
        dcfnet.Tracker(engine, device="cpu")
    dcfnet.Tracker(f"{engine}.onnx", device="cpu")


def test_tensorrt_raises_for_a_model_that_is_not_an_engine(rtx: Flavour) -> None:
    with pytest.raises(ModelError, match="not an engine; create one with dcfnet-export --trt"):
        open_backbone(load_model("dcfnet"), "tensorrt")


def test_a_graph_with_a_folded_window_accepts_one_patch_size_only() -> None:
    model = replace(load_model("dcfnet"), folded=("window",))
    with pytest.raises(
        ConfigError, match=r"patch_size=108: .* contains the cosine window of 126 px; use patch_size=126"
    ):
        open_backbone(model, side=108)


def test_an_engine_file_loads_as_an_engine_model(model: Model) -> None:
    assert isinstance(model, EngineModel)
