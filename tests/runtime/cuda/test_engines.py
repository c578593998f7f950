"""TensorRT engines in captured programs, on stand-ins for TensorRT and CuPy that enforce TensorRT's rules."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones import trt
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.devices.cuda import graph_capture
from dcfnet.devices.selection import open_backend
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import MissingDependencyError
from dcfnet.model.file import Model
from dcfnet_evaluation.rendered import Clip

from tests.runtime.engines.standins import standin

pytest.importorskip("onnx", reason="needs the extra export")
from dcfnet_export.precision import convert

SIDE = 42  # four patches of this side are not a multiple of TensorRT's alignment in bytes, as float32 or as float16


@pytest.fixture(params=["fp32"])
def model(request: pytest.FixtureRequest) -> Model:
    """The model `dcfnet`, converted for an engine: "fp32", "fp16", or "fp16 mean" with the mean in the graph."""
    precision, *folded = request.param.split()
    return convert(load_model("dcfnet"), precision, "tensorrt", folded=folded)


@pytest.fixture
def engine(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine for patches of SIDE px, at most four per call."""
    pytest.importorskip("tensorrt_rtx", reason="engines are built with TensorRT-RTX, which has wheels for x86-64 only")
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    file = tmp_path / "net.engine"
    sizes = {"min_side": SIDE, "opt_side": SIDE, "max_side": SIDE, "max_batch": 4, "opt_batch": 3}
    build_engine(model, file, BuildOptions.of(model, compute_capabilities="8.6", **sizes), open_flavour("tensorrt_rtx"))
    return file


def build_engine(*arguments: Any) -> None:
    """`make_engine`, imported here because its libraries may be missing. The tests are then skipped."""
    from dcfnet.engines.make import make_engine

    make_engine(*arguments)


@pytest.fixture
def flavour(
    fake: Any, model: Model, engine: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Flavour:
    """The stand-in for TensorRT, on the memory and in the captures of the stand-in for CuPy."""
    rules = {
        "do": fake.state.do,
        "capturing": lambda: fake.state.captured_steps is not None,
        "streams": lambda: fake.state.stream,
        **getattr(request, "param", {}),
    }
    result = standin(open_flavour("tensorrt_rtx"), model.onnx, rules, plain=rules.pop("plain", False))
    monkeypatch.setattr(trt, "open_flavour", lambda name: result)
    return result


def track(tracker: Any, clip: Clip, captures: bool) -> np.ndarray:
    """The boxes of two targets in six frames."""
    tracker._pipeline.backend.captures = captures
    x, y, w, h = clip.box(0)
    ids = [tracker.add(clip.frame(0), (x + shift, y, w, h)) for shift in (0, 3)]
    found = [tracker.update(clip.frame(index)) for index in range(1, 7)]
    return np.array([[tuple(results[name].box) for name in ids] for results in found])


def trackers(engine: Path) -> list[dcfnet.MultiTracker]:
    """Two trackers on the engine, and one on the CPU."""
    config = {"patch_size": SIDE, "update_interval": 1}
    return [
        dcfnet.MultiTracker(engine, device="cuda", config=config),
        dcfnet.MultiTracker(engine, device="cuda", config=config),
        dcfnet.MultiTracker("dcfnet", device="cpu", config=config),
    ]


@pytest.mark.parametrize("model", ["fp32", "fp16", "fp16 mean"], indirect=True)
@pytest.mark.parametrize("flavour", [{}, {"plain": True}], indirect=True, ids=["tensorrt_rtx", "tensorrt"])
def test_an_engine_is_part_of_both_graphs(fake: Any, model: Model, engine: Path, flavour: Flavour, clip: Clip) -> None:
    """Two targets have six patches, so an engine for four needs two calls. Each call has its own context and shape."""
    captured, queued, cpu = trackers(engine)
    found = track(captured, clip, True)
    graphs = set(map(id, fake.state.launched))
    assert len(graphs) == 2
    np.testing.assert_array_equal(found, track(queued, clip, False))
    np.testing.assert_allclose(found, track(cpu, clip, False), atol=0.01 if model.precision == "fp32" else 0.3)
    own = [context for context in flavour.module.contexts if context.captured]
    assert sorted(context.shapes["patches"][0] for context in own) == [1, 2, 2, 3, 4]  # for one target, and for two
    assert all(context.runs == 2 for context in own)  # one rehearsal and one capture


@pytest.mark.parametrize("model", ["fp32", "fp16", "fp16 mean"], indirect=True)
@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_only_misaligned_patches_are_copied(
    fake: Any, model: Model, engine: Path, flavour: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here these are the patches of the second call of a search pass. If no patch is aligned, all are copied.

    The boxes are the same in both cases.
    """
    from dcfnet.devices.cuda.device import CudaDevice  # on the stand-in

    copied: list[tuple[int, str, str]] = []
    real = CudaDevice.copy

    def copy(self: CudaDevice, values: Any, to: Any) -> None:
        copied.append((len(values), str(values.dtype), str(to.dtype)))
        real(self, values, to)

    boxes, dtype = [], "float16" if model.precision == "fp16" else "float32"
    for counts in ({2}, {1, 2, 3, 4}):  # 1 and 3: of one target; 2: an update of two; 4 and 2: their search pass
        tracker = trackers(engine)[0]
        monkeypatch.setattr(CudaDevice, "copy", copy)
        boxes.append(track(tracker, clip, True))
        monkeypatch.setattr(CudaDevice, "copy", real)
        assert set(copied) == {(count, dtype, dtype) for count in counts}
        monkeypatch.setattr(trt, "ALIGNMENT", 2**62)
    np.testing.assert_array_equal(*boxes)


@pytest.mark.parametrize("model", ["fp32", "fp16"], indirect=True)
@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_patches_of_either_type_and_with_gaps_give_the_same_features(
    fake: Any, model: Model, engine: Path, flavour: Flavour, rng: np.random.Generator
) -> None:
    """Slices of wider device arrays have gaps between their rows, which an engine cannot read without a copy."""
    backbone, backend = open_backbone(load_model(engine), "tensorrt", SIDE, "cuda"), open_backend("cuda")
    patches = rng.integers(-123, 152, size=(3, 3, SIDE, SIDE)).astype(np.float32)
    for dtype in (np.float32, np.float16):
        whole, wide = patches.astype(dtype), np.pad(patches, ((0, 0), (0, 0), (0, 0), (0, 2))).astype(dtype)
        for inputs in (backend.asarray(whole), backend.asarray(wide)[..., :SIDE]):
            np.testing.assert_array_equal(backend.to_host(backbone(inputs)), OrtBackbone(model)(whole))


@pytest.mark.parametrize("flavour", [{"capturable": False}], indirect=True)
def test_an_engine_that_cannot_be_captured_is_called_between_graphs(
    fake: Any, engine: Path, flavour: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(graph_capture, "_warn", warned.append)
    captured, _, cpu = trackers(engine)
    np.testing.assert_allclose(track(captured, clip, True), track(cpu, clip, False), atol=0.01)
    assert len(set(map(id, fake.state.launched))) == 4
    assert not warned
    assert not any(context.captured for context in flavour.module.contexts)


@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_tensorrt_rtx_compiles_its_kernels_before_the_capture(fake: Any, engine: Path, flavour: Flavour) -> None:
    """By default it compiles better kernels for a shape in the background; a graph would keep the first ones."""
    dcfnet.Tracker(engine, device="cuda", config={"patch_size": SIDE})
    config, kinds = flavour.module.config, flavour.module.DynamicShapesKernelSpecializationStrategy
    assert config.dynamic_shapes_kernel_specialization_strategy == kinds.EAGER
    managed = flavour.module.ExecutionContextAllocationStrategy.USER_MANAGED
    config.set_execution_context_allocation_strategy.assert_called_with(managed)


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
@pytest.mark.parametrize("captures", [True, False], ids=["captured", "call by call"])
@pytest.mark.parametrize(("model", "tolerance"), [("fp32", 0.1), ("fp16", 0.5)], indirect=["model"])
def test_an_engine_gives_the_boxes_of_the_cpu(
    place: str,
    model: Model,
    tolerance: float,
    clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    captures: bool,
) -> None:
    """TensorRT itself, built and run on a GPU."""
    flavour = open_or_skip()
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    file = tmp_path / "net.engine"
    build_engine(model, file, BuildOptions.of(model), flavour)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a capture that fails only gives a warning
        found = track(dcfnet.MultiTracker(file, device="cuda"), clip, captures)
    np.testing.assert_allclose(found, track(dcfnet.MultiTracker("dcfnet", device="cpu"), clip, False), atol=tolerance)


def open_or_skip() -> Flavour:
    try:
        return open_flavour()
    except MissingDependencyError as error:
        pytest.skip(str(error))
