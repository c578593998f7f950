"""The errors for missing parts, invalid input, a lack of memory and failures of a GPU, on the stand-in."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.cli.run import app
from dcfnet.devices import selection
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.errors import ConfigError, DeviceError, InvalidFrameError, MissingDependencyError, ModelError
from dcfnet.model.file import parse_model
from dcfnet.model.layers import read_layers
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip
from dcfnet_evaluation.trackers.stages import ClockedTracker
from typer.testing import CliRunner

from tests.runtime.cuda.conftest import CUPY_IMPORTERS
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Stream
from tests.runtime.cuda.standin import CudaError, standin

SMALL = {"patch_size": 48}


def failing(message: str, kind: type[Exception] = CudaError) -> Any:
    """A function that raises an error of this kind."""

    def fail(*_: Any, **__: Any) -> Any:
        raise kind(message)

    return fail


@pytest.fixture
def tracker(fake: Any, clip: Clip) -> dcfnet.Tracker:
    """A tracker on the stand-in, after `init`."""
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


def test_a_missing_cupy_is_reported_with_the_command_that_installs_it(
    use_cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for name in CUPY_IMPORTERS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingDependencyError, match=r"cupy is not installed .*pip install 'dcfnet\[cuda13\]'"):
        dcfnet.Tracker("dcfnet", device="cuda")


def test_dcfnet_run_reports_a_missing_cupy(use_cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for name in CUPY_IMPORTERS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    result = CliRunner().invoke(app, ["clip.mp4", "--init", "1,2,30,40", "--device", "cuda"])
    assert result.exit_code == 1
    assert "dcfnet-run: cupy is not installed" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"getDeviceCount": failing("cudaErrorInsufficientDriver")},
            r"InsufficientDriver; the driver supports CUDA 13\.1, CuPy is built for 13\.2; install NVIDIA's driver",
        ),
        (
            {"getDeviceCount": failing("cudaErrorNoDevice"), "driverGetVersion": lambda: 0},
            "NoDevice; install NVIDIA's driver",
        ),
        ({"getDeviceCount": lambda: 0}, "there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'"),
    ],
)
def test_a_missing_driver_or_gpu_is_an_error_for_cuda_and_one_warning_for_auto(
    fake: Any, change: dict[str, Any], message: str
) -> None:
    vars(fake.cuda.runtime).update(change)
    with pytest.raises(DeviceError, match=message):
        dcfnet.Tracker("dcfnet", device="cuda")
    with pytest.warns(RuntimeWarning, match=f"device='auto' uses the CPU: .*{message}"):
        assert isinstance(open_backend("auto"), CpuBackend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_backend("auto").name == "cpu"  # without a second warning


def test_a_missing_compiler_is_reported_with_the_command_that_installs_it(fake: Any) -> None:
    compiler = SimpleNamespace(compile=failing("libnvrtc.so.13: cannot open shared object file"))
    fake.RawModule = lambda code, options: compiler
    with pytest.raises(
        DeviceError, match=r"the CUDA kernels cannot be compiled: libnvrtc.*pip install 'cupy-cuda13x\[ctk\]'"
    ):
        open_backend("cuda")


def test_auto_uses_the_gpu_if_there_is_one(fake: Any) -> None:
    assert open_backend("auto").name == "cuda"


def test_auto_gives_no_warning_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_backend("auto").name == "cpu"


def test_auto_uses_the_cpu_for_engines_and_models_that_run_only_there(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("opencv", "onnxruntime"):
        assert dcfnet.Tracker("dcfnet", engine=engine)._pipeline.backend.name == "cpu"
    assert dcfnet.Tracker("dcfnet")._pipeline.backend.name == "cuda"
    assert dcfnet.Tracker()._pipeline.backend.name == "cpu"
    model = replace(load_model("dcfnet"), precision="fp16")
    monkeypatch.setattr("dcfnet.lifecycle.opening.load_model", lambda file: model)
    assert dcfnet.Tracker()._pipeline.backend.name == "cpu"
    with pytest.raises(ModelError, match=r"its precision is fp16, it must be fp32.*another fp32 model without --fold"):
        dcfnet.Tracker(device="cuda")


def test_the_error_names_what_runs_the_default_model_on_a_gpu(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        r"deep\.onnx: the native kernels cannot run this model: its features have 2 levels, they must have one\. ONNX "
        r"Runtime with its CUDA provider is not installed\. Use model='dcfnet' or .*pip install 'dcfnet\[cuda13\]'; or "
        "use a TensorRT engine file"
    )
    with pytest.raises(ModelError, match=message):
        dcfnet.Tracker(device="cuda")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "dcfnet.backbones.ort", raising=False)
    with pytest.raises(ModelError, match=message):
        dcfnet.Tracker(device="cuda")


def test_an_unknown_device_and_an_engine_without_cuda_are_an_error(fake: Any) -> None:
    with pytest.raises(ConfigError, match=r"device='cuda:1': must be one of auto, cpu, cuda; CUDA_VISIBLE"):
        dcfnet.Tracker("dcfnet", device="cuda:1")
    message = "engine='opencv' runs on the CPU only; with device='cuda' use native, tensorrt or onnxruntime"
    with pytest.raises(ConfigError, match=message):
        dcfnet.Tracker("dcfnet", device="cuda", engine="opencv")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_use_in_a_fork_is_an_error_that_names_spawn(tracker: dcfnet.Tracker, clip: Clip) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for a fork with threads, from Python 3.12 on
        child = os.fork()
    if child == 0:
        status = 1
        try:
            tracker.update(clip.frame(1))
        except DeviceError as error:
            status = 0 if "'spawn'" in str(error) else 2
        try:
            dcfnet.Tracker("dcfnet", device="cuda")
            status = 3
        except DeviceError:
            pass
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_an_update_while_another_gpu_is_current_is_an_error(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    fake.state.device = 1
    with pytest.raises(DeviceError, match="created on GPU 0, but GPU 1 is current now; make GPU 0 current"):
        tracker.update(clip.frame(1))
    fake.state.device = 0
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_frame_on_another_gpu_does_not_change_the_state(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    frame, state = fake.asarray(clip.frame(1)), tracker._state
    fake.state.gpus[frame.data.ptr] = 1
    with pytest.raises(InvalidFrameError, match="is on GPU 1, the tracker on GPU 0; copy the frame to GPU 0"):
        tracker.init(frame, clip.box(1))
    assert tracker.update(frame).reason is Reason.BAD_FRAME
    assert tracker._state is state


def test_arrays_of_other_libraries_are_used_without_a_copy(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    """Any object with a `__cuda_array_interface__`."""
    frame = fake.asarray(clip.frame(1))
    other = SimpleNamespace(__cuda_array_interface__=frame.__cuda_array_interface__)
    assert tracker._pipeline.backend.frame(other).start == (frame.data.ptr, 3 * 320)
    assert tracker.update(other).box.iou(clip.box(1)) > 0.7


def test_a_frame_is_four_copies_and_one_wait(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of targets: the frame, the parameters of *detect* and of *update*, and the peaks."""
    tracker = dcfnet.MultiTracker(
        "dcfnet", device="cuda", config={**SMALL, "update_interval": 1, "second_pass_distance": 100.0}
    )
    for _ in range(3):
        tracker.add(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    gc.collect()  # slots of earlier tests wait for their stream when they are dropped
    real, waits, before = Stream.synchronize, [], fake.state.copies.number
    monkeypatch.setattr(Stream, "synchronize", lambda self: waits.append(self) or real(self))
    tracker.update(clip.frame(1))
    assert fake.state.copies.number - before == 4
    assert len(waits) == 1


class FailingInterface:
    """An array whose interface raises an error, like a tensor of torch with gradients."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad")


@pytest.mark.parametrize(
    ("make_frame", "reason"),
    [
        (lambda cupy: cupy.asarray(np.zeros((40, 40, 3), np.float32)), Reason.BAD_FRAME),
        (lambda cupy: cupy.asarray(np.zeros((3, 40, 40), np.uint8)), Reason.BAD_FRAME),
        (lambda cupy: cupy.asarray(np.zeros((0, 40, 3), np.uint8)), Reason.NO_FRAME),
        (lambda cupy: cupy.asarray(np.full((240, 320, 3), 90, np.uint8)), Reason.NO_TEXTURE),
        (lambda cupy: SimpleNamespace(__cuda_array_interface__={"data": "?"}), Reason.BAD_FRAME),
        (lambda cupy: FailingInterface(), Reason.BAD_FRAME),
        (lambda cupy: None, Reason.NO_FRAME),
    ],
)
def test_an_invalid_or_blank_frame_has_a_result_with_its_reason(
    tracker: dcfnet.Tracker, fake: Any, clip: Clip, make_frame: Any, reason: Reason
) -> None:
    assert tracker.update(make_frame(fake)).reason is reason
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_frame_on_a_gpu_is_an_error_of_a_cpu_tracker(fake: Any, clip: Clip) -> None:
    with pytest.raises(InvalidFrameError, match="it is on a GPU: use device='cuda', or copy it to the host"):
        dcfnet.Tracker("dcfnet", device="cpu").init(fake.asarray(clip.frame(0)), clip.box(0))


@pytest.mark.parametrize("memory", [0, 100_000, 900_000])
def test_a_lack_of_memory_at_the_start_is_an_error(host_kernels: HostKernels, use_cupy: Any, memory: int) -> None:
    """The allocations of the weights, the first patches, and their features fail."""
    use_cupy(standin(host_kernels, memory=memory))
    with pytest.raises(DeviceError, match=r"the GPU has no memory left: .*use device='cpu'"):
        dcfnet.Tracker("dcfnet", device="cuda")


def test_a_lack_of_memory_in_an_update_does_not_change_the_state(
    tracker: dcfnet.Tracker, fake: Any, clip: Clip
) -> None:
    state, fake.state.bytes_left = tracker._state, 300_000
    with pytest.raises(DeviceError, match="no memory left"):
        tracker.update(clip.frame(1))
    assert tracker._state is state
    fake.state.bytes_left = float("inf")
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_lack_of_memory_for_another_target_does_not_affect_the_others(fake: Any, clip: Clip) -> None:
    """The memory ends while the target is learned, or when the filters move to more slots."""
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL)
    tracker.add(clip.frame(0), clip.box(0))
    for bytes_left in (0, 200_000, 400_000, 600_000, 800_000):
        fake.state.bytes_left = bytes_left
        with suppress(DeviceError):  # no other error
            tracker.add(clip.frame(0), clip.box(0))
    fake.state.bytes_left = float("inf")
    found = tracker.update(clip.frame(1))
    assert len(found) == len(tracker)
    assert min(result.box.iou(clip.box(1)) for result in found.values()) > 0.7


def test_a_failure_of_the_gpu_is_an_error_and_does_not_change_the_state(
    tracker: dcfnet.Tracker, fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tracker._state
    frame = fake.asarray(clip.frame(1))
    other = SimpleNamespace(__cuda_array_interface__=frame.__cuda_array_interface__)
    faults = (  # in the wait, in the arithmetic, in the download, in the check of another library's frame
        (Stream, "synchronize", frame),
        (fake.ndarray, "astype", frame),
        (fake.cuda.runtime, "memcpyAsync", frame),
        (fake.cuda.runtime, "pointerGetAttributes", other),
    )
    for owner, operation, given in faults:
        with monkeypatch.context() as patch:
            patch.setattr(owner, operation, failing("cudaErrorIllegalAddress"))
            with pytest.raises(DeviceError, match=r"the GPU failed: cudaErrorIllegalAddress.*restart the process"):
                tracker.update(given)
        assert tracker._state is state


def test_the_native_backbone_names_the_reason_for_an_unsupported_model(fake: Any) -> None:
    model = load_model("dcfnet")
    for changed, reason in (
        (replace(model, precision="fp16"), "its precision is fp16, it must be fp32"),
        (replace(model, precision="int8"), "its precision is int8, it must be fp32"),
        (replace(model, folded=("mean", "window")), "mean, window is folded into the graph"),
    ):
        message = (
            f"the native backbone cannot run this model: {reason}; export it as fp32 without --fold, or use engine="
        )
        with pytest.raises(ModelError, match=message):
            open_backbone(changed, "native")


def test_the_native_backbone_names_the_unsupported_part_of_a_graph() -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra export")

    def lrn(graph: Any) -> None:
        graph.node[3].op_type, graph.node[3].output[0] = "LRN", "features"

    def other_type(graph: Any) -> None:
        values = onnx.numpy_helper.to_array(graph.initializer[0]).astype(np.float16)
        graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, graph.initializer[0].name))

    def uneven(graph: Any) -> None:
        next(attribute for attribute in graph.node[0].attribute if attribute.name == "pads").ints[:] = [1, 0, 1, 1]

    def grouped(graph: Any) -> None:
        next(attribute for attribute in graph.node[2].attribute if attribute.name == "group").i = 4

    def no_weights(graph: Any) -> None:
        del graph.initializer[2]

    for change, reason in (
        (lrn, "it must be convolutions with ReLU, then the normalisation, but LRN computes features"),
        (other_type, "conv0.weight must be float32"),
        (uneven, "conv0 must have equal strides, pads, dilations along both axes"),
        (grouped, "conv1 must be a convolution with a square kernel, group 1 and explicit padding"),
        (no_weights, "conv1.weight"),
    ):
        proto = onnx.load_from_string(load_model("dcfnet").onnx)
        change(proto.graph)
        message = f"m.onnx: the native backbone cannot run this graph: .*{reason}.*; export it again"
        with pytest.raises(ModelError, match=message):
            read_layers(parse_model(proto.SerializeToString(), "m.onnx"))


def test_the_clocked_tracker_runs_on_a_gpu(fake: Any, clip: Clip) -> None:
    tracker = ClockedTracker(dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)._pipeline)
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7
    assert tracker.stages(2)["backbone"].min() > 0
