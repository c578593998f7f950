"""The deep backbone as a model file, in the tracker."""

import json
from pathlib import Path

import dcfnet.model
import numpy as np
import pytest
import torch
from dcfnet import Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.config import TrackerConfig
from dcfnet.model.file import LEVELS_KEY, FeatureLevel, Model, parse_model
from dcfnet_export.cli import app
from dcfnet_export.deep_graph import make_deep
from dcfnet_train.deep.backbone import DEEP, DeepBackbone
from dcfnet_train.deep.checkpoint import DeepCheckpoint
from typer.testing import CliRunner

SIDE = 112
SHIPPED = Path(dcfnet.model.__file__).parent / "shipped"
CHECKPOINT = str(SHIPPED / "deep.safetensors")


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    checkpoint = DeepCheckpoint(DeepBackbone(DEEP["deep"]).state_dict(), "deep", SIDE, 0)
    return make_deep(checkpoint, TrackerConfig(patch_size=SIDE), "deep.onnx")


def test_the_file_says_how_many_filters_there_are(model: Model) -> None:
    assert model.levels == (FeatureLevel(32, 0.1, 1.0), FeatureLevel(32, 0.15, 1.0))
    assert (model.stride, model.config.patch_size) == (4, SIDE)


def test_the_file_names_no_path(model: Model) -> None:
    assert b"site-packages" not in model.onnx


def test_a_textured_square_is_followed(model: Model, tmp_path) -> None:
    file = tmp_path / "deep.onnx"
    file.write_bytes(model.onnx)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 255, (30, 30, 3), dtype=np.uint8)

    def frame(x: int) -> np.ndarray:
        picture = np.full((160, 200, 3), 128, np.uint8)
        picture[60:90, x : x + 30] = target
        return picture

    tracker = Tracker(file, device="cpu")
    tracker.init(frame(60), (60, 60, 30, 30))
    for x in range(63, 90, 3):
        box = tracker.update(frame(x)).box
        assert max(abs(box.x - x), abs(box.y - 60)) < 2


def test_levels_that_cannot_be_are_refused(model: Model) -> None:
    broken = model.onnx.replace(json.dumps(0.15).encode(), b"-0.5")
    assert LEVELS_KEY.encode() in broken
    with pytest.raises(ValueError, match="levels are"):
        parse_model(broken, "deep.onnx")


def test_the_command_makes_the_shipped_model_from_the_shipped_weights(tmp_path: Path) -> None:
    fit = ["--confidence", str(SHIPPED / "deep.confidence.json")]
    result = CliRunner().invoke(app, [CHECKPOINT, "--onnx", "--output", str(tmp_path), *fit])
    assert result.exit_code == 0, result.output
    made, shipped = load_model(tmp_path / "deep.onnx"), load_model(SHIPPED / "deep.onnx")
    for entry in ("weights_sha256", "confidence", "config", "presets", "levels", "stride"):
        assert getattr(made, entry) == getattr(shipped, entry), entry


def test_a_confidence_of_other_weights_is_refused(tmp_path: Path) -> None:
    fit = json.loads((SHIPPED / "deep.confidence.json").read_text())
    file, output = tmp_path / "fit.json", tmp_path / "out"
    for content, message in (
        (fit | {"weights_sha256": "0" * 64}, "fitted for weights 000000000000, the checkpoint has 8f17584ed3f2"),
        ({key: value for key, value in fit.items() if key != "weights_sha256"}, "weights_sha256"),
    ):
        file.write_text(json.dumps(content))
        arguments = [CHECKPOINT, "--onnx", "--output", str(output), "--confidence", str(file)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert message in result.output
        assert "dcfnet-calibrate confidence" in result.output
        assert not output.exists()
