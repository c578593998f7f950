"""TensorRT within captured programs: contexts of their own, used as TensorRT allows. Stand-ins for both libraries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import recording
from dcfnet.backbones import open_backbone, trt
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backend import select
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import MissingDependencyError
from dcfnet.model import Model, load_model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.precision import convert

from tests.runtime.engines.standins import standin

SIDE = 42  # of which four patches, of either type, are no multiple of what TensorRT asks of an address


@pytest.fixture(params=["fp32"])
def model(request: pytest.FixtureRequest) -> Model:
    """The shipped one, as an engine is built from it: "fp32", or "fp16 mean" with that folded in."""
    precision, *folded = request.param.split()
    return convert(load_model(), precision, "tensorrt", folded=folded)


@pytest.fixture
def engine(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine for patches of SIDE px, four at once."""
    pytest.importorskip("tensorrt_rtx", reason="engines are built with TensorRT-RTX, which has wheels for x86-64 alone")
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    file = tmp_path / "net.engine"
    sizes = {"min_side": SIDE, "opt_side": SIDE, "max_side": SIDE, "max_batch": 4, "opt_batch": 3}
    made(model, file, BuildOptions.of(model, compute_capabilities="8.6", **sizes), open_flavour("tensorrt_rtx"))
    return file


def made(*given: Any) -> None:
    """By `make_engine`, which wants a library of its own: where engines are none these tests are to be skipped."""
    from dcfnet.engines.make import make_engine

    make_engine(*given)


@pytest.fixture
def flavour(
    fake: Any, model: Model, engine: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Flavour:
    """TensorRT on the stand-in's memory, whose work is captured where that captures."""
    rules = {
        "do": fake.state.do,
        "capturing": lambda: fake.state.recording is not None,
        "streams": lambda: fake.state.stream,
        **getattr(request, "param", {}),
    }
    made = standin(open_flavour("tensorrt_rtx"), model.onnx, rules, plain=rules.pop("plain", False))
    monkeypatch.setattr(trt, "open_flavour", lambda name: made)
    return made


def follow(tracker: Any, clip: Clip, captures: bool) -> np.ndarray:
    """Boxes of two targets in six frames."""
    tracker._pipeline.backend.captures = captures
    x, y, w, h = clip.box(0)
    ids = [tracker.add(clip.frame(0), (x + shift, y, w, h)) for shift in (0, 3)]
    found = [tracker.update(clip.frame(index)) for index in range(1, 7)]
    return np.array([[tuple(results[name].box) for name in ids] for results in found])


def trackers(engine: Path) -> list[dcfnet.MultiTracker]:
    config = {"patch_size": SIDE, "learn_every": 1}
    return [
        dcfnet.MultiTracker(engine, device="cuda", config=config),
        dcfnet.MultiTracker(engine, device="cuda", config=config),
        dcfnet.MultiTracker(device="cpu", config=config),
    ]


@pytest.mark.parametrize("model", ["fp32", "fp16", "fp16 mean"], indirect=True)
@pytest.mark.parametrize("flavour", [{}, {"plain": True}], indirect=True, ids=["tensorrt_rtx", "tensorrt"])
def test_an_engine_is_part_of_both_graphs(fake: Any, model: Model, engine: Path, flavour: Flavour, clip: Clip) -> None:
    """Six patches of two targets are two calls for at most four: each has a context, and each context one shape."""
    captured, queued, cpu = trackers(engine)
    found = follow(captured, clip, True)
    graphs = set(map(id, fake.state.launched))
    assert len(graphs) == 2
    np.testing.assert_array_equal(found, follow(queued, clip, False))
    np.testing.assert_allclose(found, follow(cpu, clip, False), atol=0.01 if model.precision == "fp32" else 0.3)
    own = [context for context in flavour.module.contexts if context.captured]
    assert sorted(context.shapes["patches"][0] for context in own) == [2, 2, 4]
    assert all(context.runs == 2 for context in own)  # rehearsed once, captured once


@pytest.mark.parametrize("model", ["fp32", "fp16", "fp16 mean"], indirect=True)
@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_patches_are_taken_where_they_are(
    fake: Any, model: Model, engine: Path, flavour: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the engine's own type, they need a copy only where they lie otherwise than TensorRT asks: those of the second
    call of a look, here. Where nothing is aligned all are copied, with the same boxes.
    """
    from dcfnet.device import CudaDevice  # upon the stand-in

    copied: list[tuple[int, str, str]] = []
    real = CudaDevice.copy

    def copy(self: CudaDevice, values: Any, to: Any) -> None:
        copied.append((len(values), str(values.dtype), str(to.dtype)))
        real(self, values, to)

    found, takes = [], "float16" if model.precision == "fp16" else "float32"
    for counts in ({2}, {1, 2, 4}):  # one of a target that is added; two of a lesson; four and two of a look
        tracker = trackers(engine)[0]
        monkeypatch.setattr(CudaDevice, "copy", copy)
        found.append(follow(tracker, clip, True))
        monkeypatch.setattr(CudaDevice, "copy", real)
        assert set(copied) == {(count, takes, takes) for count in counts}
        monkeypatch.setattr(trt, "ALIGNED", 2**62)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("model", ["fp32", "fp16"], indirect=True)
@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_patches_are_read_as_they_are_given(
    fake: Any, model: Model, engine: Path, flavour: Flavour, rng: np.random.Generator
) -> None:
    """Of either type, and cut out of wider ones on the device, whose rows no engine would read aright."""
    backbone, backend = open_backbone(load_model(engine), "tensorrt", SIDE, "cuda"), select("cuda")
    patches = rng.integers(-123, 152, size=(3, 3, SIDE, SIDE)).astype(np.float32)
    for dtype in (np.float32, np.float16):
        whole, wide = patches.astype(dtype), np.pad(patches, ((0, 0), (0, 0), (0, 0), (0, 2))).astype(dtype)
        for given in (backend.asarray(whole), backend.asarray(wide)[..., :SIDE]):
            np.testing.assert_array_equal(backend.to_host(backbone(given)), OrtBackbone(model)(whole))


@pytest.mark.parametrize("flavour", [{"capturable": False}], indirect=True)
def test_an_engine_that_cannot_be_captured_stands_between_graphs(
    fake: Any, engine: Path, flavour: Flavour, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(recording, "_warn", told.append)
    captured, _, cpu = trackers(engine)
    np.testing.assert_allclose(follow(captured, clip, True), follow(cpu, clip, False), atol=0.01)
    assert len(set(map(id, fake.state.launched))) == 4
    assert not told
    assert not any(context.captured for context in flavour.module.contexts)


@pytest.mark.parametrize("flavour", [{}], indirect=True)
def test_kernels_are_chosen_before_they_are_captured(fake: Any, engine: Path, flavour: Flavour) -> None:
    """TensorRT-RTX would compile the best ones for a shape beside the first runs, and a graph would keep the others."""
    dcfnet.Tracker(engine, device="cuda", config={"patch_size": SIDE})
    config, kinds = flavour.module.config, flavour.module.DynamicShapesKernelSpecializationStrategy
    assert config.dynamic_shapes_kernel_specialization_strategy == kinds.EAGER
    managed = flavour.module.ExecutionContextAllocationStrategy.USER_MANAGED
    config.set_execution_context_allocation_strategy.assert_called_with(managed)


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
@pytest.mark.parametrize("captures", [True, False], ids=["captured", "call by call"])
@pytest.mark.parametrize(("model", "close"), [("fp32", 0.1), ("fp16", 0.5)], indirect=["model"])
def test_an_engine_gives_the_boxes_of_the_cpu(
    place: str, model: Model, close: float, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captures: bool
) -> None:
    """TensorRT itself, built and run where a GPU is."""
    flavour = open_or_skip()
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    file = tmp_path / "net.engine"
    made(model, file, BuildOptions.of(model), flavour)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a capture that fails is told, and would go unseen here
        found = follow(dcfnet.MultiTracker(file, device="cuda"), clip, captures)
    np.testing.assert_allclose(found, follow(dcfnet.MultiTracker(device="cpu"), clip, False), atol=close)


def open_or_skip() -> Flavour:
    try:
        return open_flavour()
    except MissingDependencyError as error:
        pytest.skip(str(error))
