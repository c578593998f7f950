"""ONNX Runtime on a GPU: the same calls over the stand-in's memory with its CPU provider, and on a GPU with its own."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import onnxruntime
import pytest
from dcfnet.backbones import ort
from dcfnet.backbones.ort import OrtBackbone, OrtCudaBackbone
from dcfnet.backend import select
from dcfnet.errors import DeviceError, MissingDependencyError, ModelError
from dcfnet.model import Model, load_model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.precision import convert

from tests.runtime.cuda.given import on_device

SMALL = {"patch_size": 48}
CLOSE = {"standin": 0, "gpu": 1e-4}  # of the largest feature: the same code, and another's
HALF_CLOSE = {"standin": 0, "gpu": 1e-2}


@pytest.fixture
def provided(place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The CPU's provider in CUDA's place, over memory of the host, where there is no GPU."""
    if place == "standin":
        monkeypatch.setattr(OrtCudaBackbone, "provider", "CPUExecutionProvider")
        monkeypatch.setattr(OrtCudaBackbone, "memory", "cpu")
        monkeypatch.setattr(OrtCudaBackbone, "_options", lambda self: {})
    elif OrtCudaBackbone.provider not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    return place


@pytest.mark.parametrize(
    ("precision", "form", "takes"),
    [("fp32", "cpu", np.float32), ("fp16", "cpu", np.float32), ("fp16", "tensorrt", np.float16)],
)
def test_features_are_the_cpus(
    provided: str, rng: np.random.Generator, precision: str, form: str, takes: type[np.floating[Any]]
) -> None:
    """Of any number of patches of any side, from and to either memory, of either type; half precision as well."""
    model = convert(load_model(), precision, form)
    backbone, reference = OrtCudaBackbone(model), OrtBackbone(model)
    assert backbone.takes is reference.takes is takes
    for count, side in ((1, 48), (3, 48), (7, 96), (3, 48)):
        patches = rng.integers(-123, 152, size=(count, 3, side, side)).astype(np.float32)
        expected = reference(patches)
        bound = (CLOSE if precision == "fp32" else HALF_CLOSE)[provided] * np.abs(expected).max()
        np.testing.assert_allclose(backbone(patches), expected, rtol=0, atol=bound)
        for given in (patches, patches.astype(np.float16)):
            found = backbone(on_device(given))
            assert not isinstance(found, np.ndarray)
            np.testing.assert_allclose(select("cuda").to_host(found), expected, rtol=0, atol=bound)


def boxes(clip: Clip, **how: Any) -> np.ndarray:
    tracker = dcfnet.Tracker(config=SMALL, **how)
    tracker.init(clip.frame(0), clip.box(0))
    return np.array([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 10)])


def test_boxes_are_the_cpus(provided: str, clip: Clip) -> None:
    found = boxes(clip, device="cuda", engine="onnxruntime")
    np.testing.assert_allclose(found, boxes(clip, device="cpu", engine="onnxruntime"), atol=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_on_a_stream_of_ones_own_boxes_are_the_same(provided: str, clip: Clip) -> None:
    import cupy

    expected = boxes(clip, device="cpu", engine="onnxruntime")
    with cupy.cuda.Stream(non_blocking=True):
        found = boxes(clip, device="cuda", engine="onnxruntime")
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.fixture
def spied(fake: Any, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A session that runs nothing, and what it was asked for."""
    from dcfnet.device import CudaDevice  # upon the stand-in

    told = SimpleNamespace(made=[], bound=[], runs=[], loads=True, fails=None, type="tensor(float)")

    class Binding:
        def bind_input(self, *given: Any) -> None:
            told.bound.append(given)

        bind_output = bind_input

    class Session:
        def __init__(self, content: bytes, options: Any, providers: Any, enable_fallback: int) -> None:
            told.made.append((providers, enable_fallback))

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"][0 if told.loads else 1 :]

        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="features", shape=["batch", 32, "h", "w"])]

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="patches", type=told.type)]

        def io_binding(self) -> Binding:
            return Binding()

        def run_with_iobinding(self, binding: Binding, options: Any) -> None:
            told.runs.append(options)
            if told.fails:
                raise told.fails

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    told.waits, real = [], CudaDevice.wait
    monkeypatch.setattr(CudaDevice, "wait", lambda self: told.waits.append(1) or real(self))
    return told


def test_it_binds_memory_of_the_device(spied: SimpleNamespace, fake: Any) -> None:
    model, fake.state.stream = load_model(), 0
    patches = fake.asarray(np.zeros((5, 3, 48, 48), np.float32))
    features = OrtCudaBackbone(model)(patches)
    assert spied.bound == [
        ("patches", "cuda", 0, np.float32, (5, 3, 48, 48), patches.data.ptr),
        ("features", "cuda", 0, np.float32, (5, 32, 24, 24), features.data.ptr),
    ]


def test_a_graph_of_half_precision_is_given_its_own_type(spied: SimpleNamespace, fake: Any) -> None:
    spied.type = "tensor(float16)"
    patches = fake.asarray(np.zeros((5, 3, 48, 48), np.float16))
    OrtCudaBackbone(load_model())(patches)
    assert [entry[3] for entry in spied.bound] == [np.float16, np.float32]


def test_on_a_stream_of_ones_own_a_run_is_only_queued(spied: SimpleNamespace, fake: Any) -> None:
    """On it alone: on another, or the default one, it waits for what was queued before, and for its own end."""
    fake.state.stream = 7
    backbone, patches = OrtCudaBackbone(load_model()), fake.asarray(np.zeros((1, 3, 48, 48), np.float32))
    ((((provider, settings),), fallback),) = spied.made
    assert (provider, fallback) == ("CUDAExecutionProvider", 0)
    asked = {"device_id": "0", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "user_compute_stream": "7"}
    assert settings == asked
    backbone(patches)
    assert spied.waits == []
    assert spied.runs[0].get_run_config_entry("disable_synchronize_execution_providers") == "1"
    for other in (0, 9):
        fake.state.stream = other
        backbone(patches)
    assert len(spied.waits) == 2
    assert spied.runs[1:] == [None, None]


def test_the_stream_lives_as_long_as_runs_are_queued_on_it(spied: SimpleNamespace, fake: Any) -> None:
    stream = fake.cuda.Stream(non_blocking=True)
    with stream:
        fake.cuda.get_current_stream = lambda: stream
        backbone = OrtCudaBackbone(load_model())
    kept = weakref.ref(stream)
    fake.cuda.get_current_stream = stream = None
    gc.collect()
    assert kept() is not None
    del backbone
    gc.collect()
    assert kept() is None


def test_the_default_stream_is_not_handed_over(spied: SimpleNamespace, fake: Any) -> None:
    """Its number is 0, which is no stream to ONNX Runtime: it makes one of its own, and runs wait."""
    backbone = OrtCudaBackbone(load_model())
    assert "user_compute_stream" not in spied.made[0][0][0][1]
    backbone(fake.asarray(np.zeros((1, 3, 48, 48), np.float32)))
    assert (len(spied.waits), spied.runs) == (1, [None])


def test_an_onnx_runtime_without_cuda_is_named(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(
        MissingDependencyError,
        match=r"onnxruntime-gpu is not installed \(onnxruntime 1\..* is, which has no CUDAExec.*'dcfnet\[cuda13\]'",
    ):
        dcfnet.Tracker(device="cuda", engine="onnxruntime")


def test_missing_libraries_are_named(spied: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime goes on without a provider that does not load, and says so on the terminal."""
    spied.loads = False
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"))
    with pytest.raises(
        DeviceError, match=r"cuDNN are missing.*'onnxruntime-gpu\[cuda,cudnn\]'. Failed to load libcudnn"
    ):
        OrtCudaBackbone(load_model())


def test_a_gpu_that_fails_is_told(spied: SimpleNamespace, fake: Any) -> None:
    backbone, patches = OrtCudaBackbone(load_model()), fake.asarray(np.zeros((1, 3, 48, 48), np.float32))
    spied.fails = RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(DeviceError, match=r"dcfnet.onnx: ONNX Runtime failed on the GPU: CUDA failure 700"):
        backbone(patches)


def test_a_graph_that_is_none_is_told(provided: str) -> None:
    model = load_model()
    broken = Model(**{**vars(model), "onnx": b"nothing"})
    with pytest.raises(ModelError, match="ONNX Runtime does not read it"):
        OrtCudaBackbone(broken)


def test_libraries_are_loaded_silently(capfd: pytest.CaptureFixture[str]) -> None:
    ort._loaded()
    assert capfd.readouterr().out == ""
