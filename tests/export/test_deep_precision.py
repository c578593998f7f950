"""The model `deep` in half precision: its content, its engines and the gate."""

from __future__ import annotations

from pathlib import Path

import dcfnet.model
import numpy as np
import onnx
import pytest
from dcfnet import Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.engines.builder import build
from dcfnet.engines.bundle import read_engine
from dcfnet.engines.flavour import open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError
from dcfnet.model.file import Model
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.passes.protocols import few_starts
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_export.cli import app
from dcfnet_export.precision import convert
from dcfnet_train.footage.videos import open_sequences
from onnx import TensorProto, load_from_string
from typer.testing import CliRunner

from tests.train.footage import make_otb_dataset

MODEL = str(Path(dcfnet.model.__file__).parent / "shipped" / "deep.onnx")
SIDE = 64


@pytest.fixture(scope="module")
def half() -> Model:
    return convert(load_model("deep"), "fp16", "cpu")


def test_the_window_is_refused_because_the_tracker_would_refuse_the_model() -> None:
    with pytest.raises(ConfigError, match=r"--fold window: deep.* has margin=4.*; fold only the mean"):
        convert(load_model("deep"), "fp32", "cpu", folded=("mean", "window"))


def test_its_features_are_close_to_float32_and_it_needs_less_room(half: Model) -> None:
    full = load_model("deep")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, SIDE)).astype(np.float32)
    patches = pixels - full.mean[:, None, None]
    expected, features = OrtBackbone(full)(patches), OrtBackbone(half)(patches)
    np.testing.assert_allclose(features, expected, atol=0.01 * np.abs(expected).max())
    assert not np.array_equal(features, expected)
    assert len(half.onnx) < 0.65 * len(full.onnx)
    assert (half.levels, half.confidence, half.presets) == (full.levels, full.confidence, full.presets)


def test_every_convolution_is_half_and_the_normalisation_is_float32(half: Model) -> None:
    graph = onnx.shape_inference.infer_shapes(load_from_string(half.onnx)).graph
    ends = [*graph.value_info, *graph.input, *graph.output]
    types = {end.name: end.type.tensor_type.elem_type for end in ends}
    outputs: dict[str, set[int]] = {}
    for node in graph.node:
        outputs.setdefault(node.op_type, set()).update(types[name] for name in node.output)
    assert outputs["Conv"] == outputs["Clip"] == {TensorProto.FLOAT16}
    for operation in ("Mul", "ReduceSum", "Sqrt", "Div", "Resize", "Concat"):
        assert outputs[operation] == {TensorProto.FLOAT}, operation
    assert types["patches"] == types["features"] == TensorProto.FLOAT
    assert sum(node.op_type == "Cast" for node in graph.node) == 3  # the patches and both projections, nothing between


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_parses_and_builds_it(precision: str) -> None:
    """Without a GPU. Depthwise convolutions, ReLU6 and the enlargement of the coarse level are in no other model."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels only for x86-64")
    model, flavour = convert(load_model("deep"), precision, "tensorrt"), open_flavour("tensorrt_rtx")
    plan = build(model.onnx, model.name, BuildOptions.of(model, compute_capabilities="8.6"), flavour)
    patches = "half" if precision == "fp16" else "float"
    assert [(end.name, end.dtype) for end in (*plan.inputs, *plan.outputs)] == [
        ("patches", patches),
        ("features", "float"),
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_otb_dataset(tmp_path_factory.mktemp("otb"), length=10)


def test_the_gate_tracks_with_the_filter_of_each_level(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep-fp16.onnx"
    arguments = [MODEL, "--onnx", "--precision", "fp16", "--output", str(tmp_path), "--verify", str(dataset)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"{file}, compared with OpenCV on 2 sequences" in result.output
    tracker, sequences = Tracker("deep", "cpu"), open_sequences(str(dataset))
    scores = [Score.of([run_pass(tracker, one, start) for start in few_starts(one)], one) for one in sequences]
    assert f"float32 in ONNX Runtime {mean_score(scores).auc:.4f}" in result.output
    assert load_model(file).precision == "fp16"


def test_a_margin_that_no_file_meets_refuses_the_file(dataset: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dcfnet_export.verify.Verification.objections", lambda *_: ["it tracks worse"])
    arguments = [MODEL, "--onnx", "--output", str(tmp_path), "--verify", str(dataset)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "refused: it tracks worse" in result.output


def test_int8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [MODEL, "--onnx", "--precision", "int8", "--output", str(tmp_path)])
    assert result.exit_code == 1
    assert "deep: has 2 feature levels, and int8 supports one; use fp32 or fp16" in result.output
    assert not list(tmp_path.iterdir())


def test_the_command_builds_an_engine_with_all_that_the_tracker_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels only for x86-64")
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    arguments = [MODEL, "--trt", "--precision", "fp16", "--sm", "8.6", "--targets", "4", "--output", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "not executed; not yet compared with OpenCV, use --verify DATA" in result.output
    engine, full = read_engine(tmp_path / "deep-fp16.engine"), load_model("deep")
    assert (engine.levels, engine.confidence, engine.stride) == (full.levels, full.confidence, full.stride)
    assert (engine.config, dict(engine.presets)) == (full.config, dict(full.presets))
    options = engine.passport.options
    assert options.batches() == (1, 4, 4)  # one patch for each target has all scales
    assert options.sides() == (88, 120, 120)
