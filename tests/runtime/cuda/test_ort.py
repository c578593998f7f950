"""The ONNX Runtime backbone for GPUs, with its CPU provider on the stand-in's memory, and with CUDA on a GPU."""

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
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone, OrtCudaBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.devices.selection import open_backend
from dcfnet.errors import DeviceError, MissingDependencyError, ModelError
from dcfnet.model.file import Model
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.device_arrays import on_device

pytest.importorskip("onnx", reason="needs the extra export")
from dcfnet_export.precision import convert

SMALL = {"patch_size": 48}
# Tolerance as a share of the largest feature. On the stand-in both backbones run the same code.
TOLERANCE = {"standin": 0, "gpu": 1e-4}
HALF_TOLERANCE = {"standin": 0, "gpu": 1e-2}


@pytest.fixture
def provided(place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The place of the test. On the stand-in the CPU provider replaces the CUDA provider."""
    if place == "standin":
        monkeypatch.setattr(OrtCudaBackbone, "provider", "CPUExecutionProvider")
        monkeypatch.setattr(OrtCudaBackbone, "memory", "cpu")
        monkeypatch.setattr(OrtCudaBackbone, "_options", lambda self: {})
    elif OrtCudaBackbone.provider not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    return place


@pytest.mark.parametrize(
    ("precision", "form", "dtype"),
    [("fp32", "cpu", np.float32), ("fp16", "cpu", np.float32), ("fp16", "tensorrt", np.float16)],
)
def test_features_equal_those_of_the_cpu(
    provided: str, rng: np.random.Generator, precision: str, form: str, dtype: type[np.floating[Any]]
) -> None:
    """For different numbers and sides of patches, in host and device memory, as float32 and as float16."""
    model = convert(load_model("dcfnet"), precision, form)
    backbone, reference = OrtCudaBackbone(model), OrtBackbone(model)
    assert backbone.input_dtype is reference.input_dtype is dtype
    for count, side in ((1, 48), (3, 48), (7, 96), (3, 48)):
        patches = rng.integers(-123, 152, size=(count, 3, side, side)).astype(np.float32)
        expected = reference(patches)
        bound = (TOLERANCE if precision == "fp32" else HALF_TOLERANCE)[provided] * np.abs(expected).max()
        np.testing.assert_allclose(backbone(patches), expected, rtol=0, atol=bound)
        for typed in (patches, patches.astype(np.float16)):
            found = backbone(on_device(typed))
            assert not isinstance(found, np.ndarray)
            np.testing.assert_allclose(open_backend("cuda").to_host(found), expected, rtol=0, atol=bound)


def boxes(clip: Clip, **options: Any) -> np.ndarray:
    tracker = dcfnet.Tracker("dcfnet", config=SMALL, **options)
    tracker.init(clip.frame(0), clip.box(0))
    return np.array([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 10)])


def test_boxes_equal_those_of_the_cpu(provided: str, clip: Clip) -> None:
    found = boxes(clip, device="cuda", engine="onnxruntime")
    np.testing.assert_allclose(found, boxes(clip, device="cpu", engine="onnxruntime"), atol=0.1)


def test_the_default_model_runs_on_it_without_a_choice_of_the_engine(provided: str, clip: Clip) -> None:
    """The native kernels do not support this model."""
    trackers = [dcfnet.MultiTracker(device=device) for device in ("cuda", "cpu")]
    backbones = [tracker._pipeline.backbone for tracker in trackers]
    assert [type(backbone) for backbone in backbones] == [OrtCudaBackbone, OrtBackbone]
    for tracker in trackers:
        for box in (clip.box(0), (40, 50, 36, 44)):
            tracker.add(clip.frame(0), box)
    for index in range(1, 10):
        found, expected = (tracker.update(clip.frame(index)) for tracker in trackers)
        assert found[0].status == "tracked"
        for target in (0, 1):
            np.testing.assert_allclose(tuple(found[target].box), tuple(expected[target].box), atol=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_boxes_on_another_stream_are_the_same(provided: str, clip: Clip) -> None:
    import cupy

    expected = boxes(clip, device="cpu", engine="onnxruntime")
    with cupy.cuda.Stream(non_blocking=True):
        found = boxes(clip, device="cuda", engine="onnxruntime")
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.fixture
def session(fake: Any, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replaces ONNX Runtime's session by one that runs nothing.

    created: providers and fallback of each session. bound: arguments of all bindings. runs: options of all runs. waits:
    one entry per wait of the host. Tests may set loads (whether the CUDA provider loads), error (of each run) and type
    (of the input).
    """
    from dcfnet.devices.cuda.device import CudaDevice  # on the stand-in

    record = SimpleNamespace(created=[], bound=[], runs=[], waits=[], loads=True, error=None, type="tensor(float)")

    class Binding:
        def bind_input(self, *arguments: Any) -> None:
            record.bound.append(arguments)

        bind_output = bind_input

    class Session:
        def __init__(self, content: bytes, options: Any, providers: Any, enable_fallback: int) -> None:
            record.created.append((providers, enable_fallback))

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"][0 if record.loads else 1 :]

        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="features", shape=["batch", 32, "h", "w"])]

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="patches", type=record.type)]

        def io_binding(self) -> Binding:
            return Binding()

        def run_with_iobinding(self, binding: Binding, options: Any) -> None:
            record.runs.append(options)
            if record.error:
                raise record.error

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    real = CudaDevice.wait
    monkeypatch.setattr(CudaDevice, "wait", lambda self: record.waits.append(1) or real(self))
    return record


def test_patches_and_features_are_bound_to_device_memory(session: SimpleNamespace, fake: Any) -> None:
    model, fake.state.stream = load_model("dcfnet"), 0
    patches = fake.asarray(np.zeros((5, 3, 48, 48), np.float32))
    features = OrtCudaBackbone(model)(patches)
    assert session.bound == [
        ("patches", "cuda", 0, np.float32, (5, 3, 48, 48), patches.data.ptr),
        ("features", "cuda", 0, np.float32, (5, 32, 24, 24), features.data.ptr),
    ]


def test_a_graph_with_float16_input_gets_float16_patches(session: SimpleNamespace, fake: Any) -> None:
    session.type = "tensor(float16)"
    patches = fake.asarray(np.zeros((5, 3, 48, 48), np.float16))
    OrtCudaBackbone(load_model("dcfnet"))(patches)
    assert [entry[3] for entry in session.bound] == [np.float16, np.float32]


def test_a_run_is_only_queued_on_the_stream_of_the_backbone(session: SimpleNamespace, fake: Any) -> None:
    """On another stream, or on the default stream, it waits for earlier work and for its own end."""
    fake.state.stream = 7
    backbone, patches = OrtCudaBackbone(load_model("dcfnet")), fake.asarray(np.zeros((1, 3, 48, 48), np.float32))
    ((((provider, settings),), fallback),) = session.created
    assert (provider, fallback) == ("CUDAExecutionProvider", 0)
    expected = {"device_id": "0", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "user_compute_stream": "7"}
    assert settings == expected
    backbone(patches)
    assert session.waits == []
    assert session.runs[0].get_run_config_entry("disable_synchronize_execution_providers") == "1"
    for other in (0, 9):
        fake.state.stream = other
        backbone(patches)
    assert len(session.waits) == 2
    assert session.runs[1:] == [None, None]


def test_the_backbone_keeps_its_stream_alive(session: SimpleNamespace, fake: Any) -> None:
    stream = fake.cuda.Stream(non_blocking=True)
    with stream:
        fake.cuda.get_current_stream = lambda: stream
        backbone = OrtCudaBackbone(load_model("dcfnet"))
    reference = weakref.ref(stream)
    fake.cuda.get_current_stream = stream = None
    gc.collect()
    assert reference() is not None
    del backbone
    gc.collect()
    assert reference() is None


def test_the_default_stream_is_not_passed_to_onnx_runtime(session: SimpleNamespace, fake: Any) -> None:
    """Its handle is 0, which ONNX Runtime does not accept. It creates a stream of its own, and runs wait."""
    backbone = OrtCudaBackbone(load_model("dcfnet"))
    assert "user_compute_stream" not in session.created[0][0][0][1]
    backbone(fake.asarray(np.zeros((1, 3, 48, 48), np.float32)))
    assert (len(session.waits), session.runs) == (1, [None])


def test_onnx_runtime_without_cuda_is_an_error_with_its_remedy(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(
        MissingDependencyError,
        match=r"onnxruntime-gpu is not installed \(onnxruntime 1\..* is installed, but without CUDAExecutionProvider; "
        r"use cuda12 or cuda13 instead of cpu\); install it with: pip install 'dcfnet\[cuda13\]'",
    ):
        dcfnet.Tracker("dcfnet", device="cuda", engine="onnxruntime")


def test_missing_libraries_are_an_error_with_its_remedy(
    session: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime itself continues without a provider that does not load, and prints a message."""
    session.loads = False
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"))
    with pytest.raises(
        DeviceError, match=r"cuDNN are missing.*'onnxruntime-gpu\[cuda,cudnn\]'. Failed to load libcudnn"
    ):
        OrtCudaBackbone(load_model("dcfnet"))
    with pytest.raises(ModelError, match=r"deep\.onnx: .*'onnxruntime-gpu\[cuda,cudnn\]'.* Use model='dcfnet' or"):
        open_backbone(load_model(), device="cuda")


def test_a_failure_of_the_gpu_is_an_error(session: SimpleNamespace, fake: Any) -> None:
    backbone, patches = OrtCudaBackbone(load_model("dcfnet")), fake.asarray(np.zeros((1, 3, 48, 48), np.float32))
    session.error = RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(DeviceError, match=r"dcfnet.onnx: ONNX Runtime failed on the GPU: CUDA failure 700"):
        backbone(patches)


def test_an_invalid_graph_is_an_error(provided: str) -> None:
    model = load_model("dcfnet")
    broken = Model(**{**vars(model), "onnx": b"nothing"})
    with pytest.raises(ModelError, match=r"dcfnet.onnx: ONNX Runtime cannot read it: .*protobuf"):
        OrtCudaBackbone(broken)


def test_libraries_are_loaded_without_output(capfd: pytest.CaptureFixture[str]) -> None:
    ort._preload_libraries()
    assert capfd.readouterr().out == ""
