"""What can be missing, wrong or used up on the way to a GPU, each with its error; on the stand-in."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import onnx
import pytest
from dcfnet import backend
from dcfnet.backbones import open_backbone
from dcfnet.backend import select
from dcfnet.cli import app
from dcfnet.cpu import CpuBackend
from dcfnet.errors import ConfigError, DeviceError, InvalidFrameError, MissingDependencyError, ModelError
from dcfnet.layers import read_layers
from dcfnet.model import load_model, parse_model
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip
from dcfnet_evaluation.stages import ClockedTracker
from typer.testing import CliRunner

from tests.runtime.cuda.conftest import STANDING_UPON_CUPY
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Stream
from tests.runtime.cuda.standin import CudaError, standin

SMALL = {"patch_size": 48}


def failing(message: str, kind: type[Exception] = CudaError) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise kind(message)

    return fail


@pytest.fixture
def tracker(fake: Any, clip: Clip) -> dcfnet.Tracker:
    """On the stand-in, started."""
    made = dcfnet.Tracker(device="cuda", config=SMALL)
    made.init(clip.frame(0), clip.box(0))
    return made


def test_a_missing_package_is_named_with_what_installs_it(use_cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for name in STANDING_UPON_CUPY:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingDependencyError, match=r"cupy is not installed .*pip install 'dcfnet\[cuda13\]'"):
        dcfnet.Tracker(device="cuda")


def test_dcfnet_run_says_what_is_missing(use_cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for name in STANDING_UPON_CUPY:
        monkeypatch.delitem(sys.modules, name, raising=False)
    answer = CliRunner().invoke(app, ["clip.mp4", "--init", "1,2,30,40", "--device", "cuda"])
    assert answer.exit_code == 1
    assert "dcfnet-run: cupy is not installed" in answer.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"getDeviceCount": failing("cudaErrorInsufficientDriver")},
            r"InsufficientDriver; the driver serves CUDA 13\.1, CuPy is made for 13\.2; install NVIDIA's driver",
        ),
        (
            {"getDeviceCount": failing("cudaErrorNoDevice"), "driverGetVersion": lambda: 0},
            "NoDevice; install NVIDIA's driver",
        ),
        ({"getDeviceCount": lambda: 0}, "no GPU is there, or CUDA_VISIBLE_DEVICES hides it"),
    ],
)
def test_a_missing_driver_or_gpu_is_named(fake: Any, change: dict[str, Any], said: str) -> None:
    vars(fake.cuda.runtime).update(change)
    with pytest.raises(DeviceError, match=said):
        dcfnet.Tracker(device="cuda")
    with pytest.warns(RuntimeWarning, match=f"device='auto' is the CPU: .*{said}"):
        assert isinstance(select("auto"), CpuBackend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select("auto").name == "cpu"  # said once


def test_a_missing_compiler_is_named(fake: Any) -> None:
    fake.RawModule = lambda code: SimpleNamespace(compile=failing("libnvrtc.so.13: cannot open shared object file"))
    with pytest.raises(
        DeviceError, match=r"kernels.cu cannot be compiled: libnvrtc.*pip install 'cupy-cuda13x\[ctk\]'"
    ):
        select("cuda")


def test_auto_takes_the_gpu_where_there_is_one(fake: Any) -> None:
    assert select("auto").name == "cuda"


def test_auto_says_nothing_where_there_is_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert select("auto").name == "cpu"


def test_auto_is_the_cpu_for_what_runs_there_alone(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for made in (dcfnet.Tracker(engine="opencv"), dcfnet.Tracker(engine="onnxruntime")):
        assert made._pipeline.backend.name == "cpu"
    assert dcfnet.Tracker()._pipeline.backend.name == "cuda"
    model = replace(load_model(), precision="fp16")
    monkeypatch.setattr("dcfnet.tracker.load_model", lambda file: model)
    assert dcfnet.Tracker()._pipeline.backend.name == "cpu"
    with pytest.raises(ModelError, match="its precision is fp16, only fp32 is read"):
        dcfnet.Tracker(device="cuda")


def test_devices_and_engines_that_do_not_fit_are_refused(fake: Any) -> None:
    with pytest.raises(ConfigError, match=r"no device 'cuda:1'; there are auto, cpu, cuda; .*CUDA_VISIBLE"):
        dcfnet.Tracker(device="cuda:1")
    with pytest.raises(ConfigError, match="'opencv' runs on the CPU; with device='cuda' there are tensorrt, native"):
        dcfnet.Tracker(device="cuda", engine="opencv")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_is_told_to_be_spawned(tracker: dcfnet.Tracker, clip: Clip) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, from Python 3.12
        child = os.fork()
    if child == 0:
        told = 1
        try:
            tracker.update(clip.frame(1))
        except DeviceError as error:
            told = 0 if "'spawn'" in str(error) else 2
        try:
            dcfnet.Tracker(device="cuda")
            told = 3
        except DeviceError:
            pass
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_tracker_stays_on_its_gpu(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    fake.state.device = 1
    with pytest.raises(DeviceError, match="opened on GPU 0, used while GPU 1 is current"):
        tracker.update(clip.frame(1))
    fake.state.device = 0
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_frame_on_another_gpu_moves_nothing(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    frame, state = fake.asarray(clip.frame(1)), tracker._state
    fake.state.places[frame.data.ptr] = 1
    with pytest.raises(InvalidFrameError, match="lies on GPU 1, the tracker on GPU 0"):
        tracker.init(frame, clip.box(1))
    assert tracker.update(frame).reason is Reason.BAD_FRAME
    assert tracker._state is state


def test_other_libraries_arrays_are_taken_where_they_are(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    """Anything with the interface: what it wraps is not copied."""
    frame = fake.asarray(clip.frame(1))
    other = SimpleNamespace(__cuda_array_interface__=frame.__cuda_array_interface__)
    assert tracker._pipeline.backend.frame(other).start == (frame.data.ptr, 3 * 320)
    assert tracker.update(other).box.iou(clip.box(1)) > 0.7


def test_a_frame_is_copied_once_and_waited_for_once(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets there are, and however often they are looked at: lessons are in every frame here.

    Two copies besides say where they are looked at, and for what, and one brings back what was found.
    """
    tracker = dcfnet.MultiTracker(device="cuda", config={**SMALL, "learn_every": 1, "look_again": 100.0})
    for _ in range(3):
        tracker.add(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    real, waits, before = Stream.synchronize, [], fake.state.copies.number
    monkeypatch.setattr(Stream, "synchronize", lambda self: waits.append(self) or real(self))
    tracker.update(clip.frame(1))
    assert fake.state.copies.number - before == 4
    assert len(waits) == 1


class Hostile:
    """As a tensor of torch that keeps gradients."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda cupy: cupy.asarray(np.zeros((40, 40, 3), np.float32)), Reason.BAD_FRAME),
        (lambda cupy: cupy.asarray(np.zeros((3, 40, 40), np.uint8)), Reason.BAD_FRAME),
        (lambda cupy: cupy.asarray(np.zeros((0, 40, 3), np.uint8)), Reason.NO_FRAME),
        (lambda cupy: cupy.asarray(np.full((240, 320, 3), 90, np.uint8)), Reason.NO_TEXTURE),
        (lambda cupy: SimpleNamespace(__cuda_array_interface__={"data": "?"}), Reason.BAD_FRAME),
        (lambda cupy: Hostile(), Reason.BAD_FRAME),
        (lambda cupy: "frame.jpg", Reason.BAD_FRAME),
        (lambda cupy: None, Reason.NO_FRAME),
    ],
)
def test_what_is_no_frame_is_answered(
    tracker: dcfnet.Tracker, fake: Any, clip: Clip, made: Any, reason: Reason
) -> None:
    assert tracker.update(made(fake)).reason is reason
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_cpu_tracker_says_where_the_frame_lies(fake: Any, clip: Clip) -> None:
    with pytest.raises(InvalidFrameError, match="it lies on a GPU, which device='cuda' takes it from"):
        dcfnet.Tracker(device="cpu").init(fake.asarray(clip.frame(0)), clip.box(0))


@pytest.mark.parametrize("memory", [0, 100_000, 900_000, 1_020_000])
def test_no_memory_at_the_start_is_told(host_kernels: HostKernels, use_cupy: Any, memory: int) -> None:
    """In the weights, in the first patches, in their features, and in the constants."""
    use_cupy(standin(host_kernels, memory=memory))
    with pytest.raises(DeviceError, match=r"the GPU has no memory left: .*use device='cpu'"):
        dcfnet.Tracker(device="cuda")


def test_no_memory_later_moves_nothing(tracker: dcfnet.Tracker, fake: Any, clip: Clip) -> None:
    state, fake.state.left = tracker._state, 300_000
    with pytest.raises(DeviceError, match="no memory left"):
        tracker.update(clip.frame(1))
    assert tracker._state is state
    fake.state.left = float("inf")
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_no_memory_for_one_target_more_leaves_the_others(fake: Any, clip: Clip) -> None:
    """Wherever it is missing: while the target is learnt, or where it is to be laid beside the others."""
    tracker = dcfnet.MultiTracker(device="cuda", config=SMALL)
    tracker.add(clip.frame(0), clip.box(0))
    for left in (0, 200_000, 400_000, 600_000, 800_000):
        fake.state.left = left
        with suppress(DeviceError):  # and nothing else
            tracker.add(clip.frame(0), clip.box(0))
    fake.state.left = float("inf")
    found = tracker.update(clip.frame(1))
    assert len(found) == len(tracker)
    assert min(result.box.iou(clip.box(1)) for result in found.values()) > 0.7


def test_a_gpu_that_fails_is_told_and_nothing_is_answered(
    tracker: dcfnet.Tracker, fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tracker._state
    frame = fake.asarray(clip.frame(1))
    faults = (  # at the wait, amid the arithmetic, on the way back, with the frame
        (Stream, "synchronize"),
        (fake.ndarray, "astype"),
        (fake.cuda.runtime, "memcpyAsync"),
        (fake.cuda.runtime, "pointerGetAttributes"),
    )
    for owner, operation in faults:
        with monkeypatch.context() as patch:
            patch.setattr(owner, operation, failing("cudaErrorIllegalAddress"))
            with pytest.raises(DeviceError, match=r"the GPU failed: cudaErrorIllegalAddress.*start the process anew"):
                tracker.update(frame)
        assert tracker._state is state


def test_files_the_native_backbone_does_not_take_are_named(fake: Any) -> None:
    model = load_model()
    for changed, said in (
        (replace(model, precision="fp16"), "its precision is fp16, only fp32 is read"),
        (replace(model, precision="int8"), "its precision is int8"),
        (replace(model, folded=("mean", "window")), "it has mean, window folded in"),
    ):
        with pytest.raises(ModelError, match=said):
            open_backbone(changed, "native")


def test_graphs_the_native_backbone_does_not_take_are_named() -> None:
    def lrn(graph: onnx.GraphProto) -> None:
        graph.node[3].op_type, graph.node[3].output[0] = "LRN", "features"

    def other_type(graph: onnx.GraphProto) -> None:
        graph.initializer[0].data_type = onnx.TensorProto.FLOAT16

    def uneven(graph: onnx.GraphProto) -> None:
        next(each for each in graph.node[0].attribute if each.name == "pads").ints[:] = [1, 0, 1, 1]

    def grouped(graph: onnx.GraphProto) -> None:
        next(each for each in graph.node[2].attribute if each.name == "group").i = 4

    def no_weights(graph: onnx.GraphProto) -> None:
        del graph.initializer[2]

    for change, said in (
        (lrn, "not convolutions, ReLU and the normalisation: LRN makes features"),
        (other_type, "conv0.weight is not float32"),
        (uneven, "conv0 has unlike strides, pads, dilations along its axes"),
        (grouped, "conv1 is no plain convolution with a square kernel"),
        (no_weights, "conv1.weight"),
    ):
        proto = onnx.load_from_string(load_model().onnx)
        change(proto.graph)
        with pytest.raises(ModelError, match=f"m.onnx: no graph for the native backbone: .*{said}.*; export it anew"):
            read_layers(parse_model(proto.SerializeToString(), "m.onnx"))


def test_stages_are_clocked_on_a_gpu_too(fake: Any, clip: Clip) -> None:
    tracker = ClockedTracker(dcfnet.Tracker(device="cuda", config=SMALL)._pipeline)
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7
    assert tracker.stages(2)["backbone"].min() > 0
