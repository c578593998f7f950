"""The default model, by its name: it loads, tracks on every CPU engine, and is refused where it cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet import ConfigError, ModelError, Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.model.layers import read_layers
from dcfnet_evaluation.street import render_street


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_it_follows_the_car_of_the_demo(engine: str) -> None:
    clip = render_street(24)
    tracker = Tracker("deep", device="cpu", engine=engine)
    tracker.init(clip.frame(0), clip.box(0))
    for t in range(1, clip.length):
        result = tracker.update(clip.frame(t))
        assert result.status == "tracked"
        assert result.box.iou(clip.box(t)) > 0.75


def test_both_engines_compute_the_same_features(rng: np.random.Generator) -> None:
    model = load_model("deep")
    patches = rng.integers(-120, 130, size=(3, 3, 112, 112)).astype(np.float32)
    first, second = (open_backbone(model, engine)(patches) for engine in ("onnxruntime", "opencv"))
    assert first.shape == (3, 64, 28, 28)
    np.testing.assert_allclose(second, first, atol=1e-4)


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model("deep").levels
    Path("deep").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX file"):
        load_model("deep")


def test_an_unknown_name_shows_the_shipped_models() -> None:
    with pytest.raises(ModelError, match=r"deeper: no such file; .*deep, dcfnet.* dcfnet-export --onnx"):
        Tracker("deeper")


@pytest.mark.parametrize("preset", ["accurate", "balanced", "fast"])
def test_it_has_the_presets_of_the_other_model(preset: str) -> None:
    clip, tracker = render_street(12), Tracker("deep", device="cpu", preset=preset)
    tracker.init(clip.frame(0), clip.box(0))
    for t in range(1, clip.length):
        box = tracker.update(clip.frame(t)).box
    assert box.iou(clip.box(clip.length - 1)) > 0.75


def test_patch_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match=r"deep\.onnx: cannot run on patches of 124 px"):
        Tracker("deep", device="cpu", config={"patch_size": 124})
    with pytest.raises(ConfigError, match="patch_size=110: must be a multiple of the model's stride, 4"):
        Tracker("deep", device="cpu", config={"patch_size": 110})


def test_the_native_backbone_refuses_it() -> None:
    with pytest.raises(ModelError, match=r"its features have 2 levels, they must have one; .*engine='onnxruntime'"):
        read_layers(load_model("deep"))
