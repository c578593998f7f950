"""The engine native-fp16: which kernel runs, features and boxes beside float32, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones import native
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.backbones.tensor_convolutions import TensorConvolutions, channel_scales
from dcfnet.errors import ConfigError, DeviceError, ModelError
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.test_halves import pixels

ENGINE, SIDE = "native-fp16", 48


def test_features_are_those_of_float32_but_for_rounding(place: str, rng: np.random.Generator) -> None:
    model, patches = load_model("dcfnet"), pixels(rng, 3, SIDE)
    backbone = open_backbone(model, ENGINE, SIDE, "cuda")
    assert (backbone.input_dtype, backbone.capturable) == (np.float16, True)
    found, expected = backbone(patches), OrtBackbone(model)(patches)
    error = np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean())
    assert 1e-5 < error < 1e-3
    np.testing.assert_array_equal(backbone(patches.astype(np.float16)), found)


def test_the_benchmark_rounds_as_the_kernel_does(place: str, rng: np.random.Generator) -> None:
    """benchmarks/tensor_cores.py tracks on a CPU. Sums in another order round a few numbers to the next float16."""
    pytest.importorskip("onnx", reason="needs the extra export")
    from benchmarks.tensor_cores import rounded

    model, patches = load_model("dcfnet"), pixels(rng, 3, SIDE)
    found = open_backbone(model, ENGINE, SIDE, "cuda")(patches)
    onnx = rounded(model.onnx, channel_scales(native.read_layers(model)[0][0]))
    differences = np.abs(found - OrtBackbone(replace(model, onnx=onnx))(patches)) / np.abs(found).max()
    assert np.quantile(differences, 0.9) < 1e-6
    assert differences.max() < 1e-3


def boxes(clip: Clip, device: str, engine: str, captures: bool = True) -> np.ndarray:
    tracker = dcfnet.Tracker("dcfnet", device=device, engine=engine, config={"patch_size": SIDE, "update_interval": 1})
    tracker._pipeline.backend.captures = captures  # type: ignore[attr-defined]
    tracker.init(clip.frame(0), clip.box(0))
    return np.array([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 12)])


def test_boxes_are_those_of_float32(place: str, clip: Clip) -> None:
    found = boxes(clip, "cuda", ENGINE)
    np.testing.assert_array_equal(boxes(clip, "cuda", ENGINE, captures=False), found)
    assert np.abs(found - boxes(clip, "cpu", "onnxruntime")).max() < 0.5


def test_a_state_is_read_by_a_tracker_with_another_engine(fake: Any, clip: Clip, tmp_path: Path) -> None:
    config = {"patch_size": SIDE, "update_interval": 1}
    tracker = dcfnet.Tracker("dcfnet", device="cuda", engine=ENGINE, config=config)
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    tracker.save(tmp_path / "state")
    other = dcfnet.Tracker("dcfnet", device="cpu", config=config)
    other.restore(tmp_path / "state")
    found, expected = (np.array(each.update(clip.frame(2)).box) for each in (other, tracker))
    assert np.abs(found - expected).max() < 0.5


@pytest.mark.parametrize(("engine", "kernel"), [(ENGINE, "tensor_features_half"), ("native", "features_half")])
def test_the_engine_names_the_kernel(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, engine: str, kernel: str
) -> None:
    """A tracker on tensor cores never runs the kernel in float32."""
    launched, real = set[str](), HostKernels.launch

    def launch(self: HostKernels, name: str, *arguments: Any) -> None:
        launched.add(name)
        real(self, name, *arguments)

    monkeypatch.setattr(HostKernels, "launch", launch)
    boxes(clip, "cuda", engine)
    assert {name for name in launched if "features" in name or name == "convolve"} == {kernel}


def test_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine='native-fp16': .* the device is the CPU; use device='cuda', or eng"):
        dcfnet.Tracker("dcfnet", device="cpu", engine=ENGINE)


def test_an_older_gpu_is_refused(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = fake.cuda.Device()
    monkeypatch.setattr(type(device), "compute_capability", "70")
    with pytest.raises(
        DeviceError, match=r"compute capability 7\.0: .* use engine='native', which computes in float32"
    ):
        dcfnet.Tracker("dcfnet", device="cuda", engine=ENGINE)


def test_networks_and_models_without_such_a_kernel_are_refused(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"deep\.onnx: the native backbone cannot run this model: its features have 2"):
        dcfnet.Tracker("deep", device="cuda", engine=ENGINE)
    (first, second), norm = native.read_layers(load_model("dcfnet"))
    monkeypatch.setattr(native, "read_layers", lambda model: ((first, replace(first), second), norm))
    with pytest.raises(ModelError, match=r"tensor cores run two convolutions, .* use engine='native' for this network"):
        open_backbone(load_model("dcfnet"), ENGINE, SIDE, "cuda")


def test_patches_without_a_tile_are_refused(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels in float32 must not replace it silently."""
    monkeypatch.setattr(TensorConvolutions, "__call__", lambda self, patches: None)
    with pytest.raises(ModelError, match=r"cannot run on patches of 48 px .* shared memory; use engine='native'"):
        open_backbone(load_model("dcfnet"), ENGINE, SIDE, "cuda")
