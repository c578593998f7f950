"""Precision is a property of the file: what each one holds, computes, and is built into."""

from __future__ import annotations

from pathlib import Path

import dcfnet
import numpy as np
import onnx
import pytest
import torch
from dcfnet.backbones import open_backbone
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.config import TrackerConfig
from dcfnet.engines.builder import build
from dcfnet.engines.flavour import open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model import METADATA_KEYS, PRECISION_KEY, PRECISIONS, Model, load_model, parse_model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.graph import make_model
from dcfnet_export.precision import convert
from dcfnet_export.quantise import calibrated
from dcfnet_export.ranges import Ranges, RangesError
from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.recipe import Recipe
from onnx import TensorProto, load_from_string
from onnx.reference import ReferenceEvaluator

CLOSE = {"fp32": 1e-5, "fp16": 3e-3, "int8": 0.15, "mixed": 0.15}  # of the largest feature, for random weights
SIDE = 48


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    weights = Backbone(ARCHITECTURES[request.param]).state_dict()
    checkpoint = Checkpoint(weights, Recipe(architecture=request.param), 0, {})
    return make_model(checkpoint, TrackerConfig(patch_size=SIDE), request.param)


def patches(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, (count, 3, SIDE, SIDE)).astype(np.float32)


def ranges_of(model: Model, sensitive: tuple[str, ...] = ("conv0",)) -> Ranges:
    """Ranges by ONNX's reference evaluator, which shares no code with what calibrates."""
    proto = load_from_string(model.onnx)
    names = calibrated(proto)
    for name in names[1:]:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    given = {"patches": patches()}
    seen = dict(zip(names[1:], ReferenceEvaluator(proto).run(names[1:], given), strict=True)) | given
    tensors = {name: (float(seen[name].min()), float(seen[name].max())) for name in names}
    return Ranges("min-max", model.weights_sha256, 3, tensors, sensitive)


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_valid_runs_and_is_close_to_float32(model: Model, precision: str, form: str) -> None:
    made = convert(model, precision, form, ranges_of(model))
    onnx.checker.check_model(load_from_string(made.onnx), full_check=True)
    assert made.precision == precision
    expected, found = OrtBackbone(model)(patches()), OrtBackbone(made)(patches())
    np.testing.assert_allclose(found, expected, atol=CLOSE[precision] * np.abs(expected).max())
    assert precision == "fp32" or not np.array_equal(found, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_parsed_and_built_by_tensorrt_rtx(model: Model, precision: str) -> None:
    """With no GPU, for the compute capabilities of Ampere, Ada and Blackwell."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 alone")
    made, flavour = convert(model, precision, "tensorrt", ranges_of(model)), open_flavour("tensorrt_rtx")
    for capability in ("8.6", "8.9", "12.0"):
        plan = build(made.onnx, made.name, BuildOptions.of(made, compute_capabilities=capability), flavour)
        assert [end.name for end in (*plan.inputs, *plan.outputs)] == ["patches", "features"]
        halved = precision in ("fp16", "mixed")  # of which the first convolution is sensitive here
        assert [end.dtype for end in (*plan.inputs, *plan.outputs)] == ["half" if halved else "float", "float"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_surrounds_the_convolutions_stays_float32(model: Model, precision: str) -> None:
    """Output and normalisation, which squares features: half precision ends at 65,504. Patches are whole numbers: they
    are of the type of what reads them.
    """
    made = convert(model, precision, "tensorrt", ranges_of(model))
    proto = onnx.shape_inference.infer_shapes(load_from_string(made.onnx))
    ends = [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]
    types = {end.name: end.type.tensor_type.elem_type for end in ends}
    norm = [node for node in proto.graph.node if node.name.startswith("norm.")]
    assert {types[name] for node in norm for name in node.output} == {TensorProto.FLOAT}
    assert types["features"] == TensorProto.FLOAT
    assert types["patches"] == (TensorProto.FLOAT16 if precision in ("fp16", "mixed") else TensorProto.FLOAT)
    assert not any(node.op_type == "Cast" and "patches" in node.input for node in proto.graph.node)
    readable = load_from_string(convert(model, precision, "cpu", ranges_of(model)).onnx)
    assert readable.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT  # for whoever feeds it


def test_patches_that_something_else_reads_stay_float32(model: Model) -> None:
    made = convert(model, "mixed", "tensorrt", ranges_of(model, ("conv1",)))
    assert load_from_string(made.onnx).graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_weights_of_half_precision_take_half_the_room(model: Model) -> None:
    full, half = (len(convert(model, name, "cpu").onnx) for name in ("fp32", "fp16"))
    assert half < 0.62 * full


def test_mixed_keeps_the_sensitive_convolutions_out_of_int8(model: Model) -> None:
    held = {}
    for form in ("cpu", "tensorrt"):
        made = convert(model, "mixed", form, ranges_of(model, ("conv1",)))
        held[form] = {entry.name: entry.data_type for entry in load_from_string(made.onnx).graph.initializer}
    assert held["cpu"]["conv1.weight"] == TensorProto.FLOAT
    assert held["tensorrt"]["conv1.weight"] == TensorProto.FLOAT16
    assert all("conv0.weight" not in weights for weights in held.values())  # quantised, under another name


def test_weights_have_a_scale_a_channel_or_one_for_all(model: Model) -> None:
    outputs = load_from_string(model.onnx).graph.initializer[0].dims[0]
    for per_channel, expected in ((True, outputs), (False, 1)):
        made = convert(model, "int8", "tensorrt", ranges_of(model), per_channel=per_channel)
        held = load_from_string(made.onnx).graph.initializer
        (scale,) = (entry for entry in held if entry.name == "conv0.weight_scale")
        assert int(np.prod(scale.dims)) == expected


def test_the_same_model_gives_the_same_bytes(model: Model) -> None:
    ranges = ranges_of(model)
    for precision in PRECISIONS:
        made = [convert(model, precision, "tensorrt", ranges, ("mean",)).onnx for _ in range(2)]
        assert made[0] == made[1]


def test_int8_needs_ranges_and_says_where_they_come_from(model: Model) -> None:
    for precision in ("int8", "mixed"):
        with pytest.raises(RangesError, match=r"--ranges FILE, which dcfnet-calibrate ranges makes"):
            convert(model, precision, "cpu")


@pytest.mark.parametrize(("precision", "folded"), [("fp8", ()), ("fp32", ("label",))])
def test_unknown_names_are_told_with_the_known_ones(model: Model, precision: str, folded: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="there are"):
        convert(model, precision, "cpu", None, folded)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("folded", [("mean",), ("window",), ("mean", "window")])
def test_a_tracker_on_a_folded_file_gives_the_same_boxes(precision: str, folded: tuple[str, ...], clip: Clip) -> None:
    shipped = load_model()
    plain, made = convert(shipped, precision, "cpu"), convert(shipped, precision, "cpu", None, folded)
    assert made.folded == folded
    boxes = [[tuple(result) for result in follow(each, clip)] for each in (plain, made)]
    np.testing.assert_allclose(boxes[0], boxes[1], atol=0.02 if precision == "fp32" else 0.2)


def follow(model: Model, clip: Clip) -> list[dcfnet.Box]:
    from dcfnet.cpu import CpuBackend
    from dcfnet.pipeline import Pipeline

    config = model.preset("balanced")
    backbone = open_backbone(model, "onnxruntime", config.patch_size)
    pipeline = Pipeline.build(config, CpuBackend(), backbone, model.mean, model.stride, model.folded)
    tracker, boxes = dcfnet.Tracker.of(pipeline), []
    for index, (frame, box) in enumerate(clip):
        if index == 0:
            tracker.init(frame, box)
        else:
            boxes.append(tracker.update(frame).box)
    return boxes


def test_a_file_that_holds_the_window_is_for_the_presets_of_one_size(tmp_path: Path) -> None:
    made = convert(load_model(), "fp32", "cpu", None, ("window",))
    assert made.config.patch_size == 108
    assert set(made.presets) == {"accurate", "balanced"}
    assert made.preset("balanced") == load_model().preset("balanced")
    assert BuildOptions.of(made).sides() == (108, 108, 108)
    (tmp_path / "m.onnx").write_bytes(made.onnx)
    dcfnet.Tracker(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="holds the window of 108 px"):
        dcfnet.Tracker(tmp_path / "m.onnx", config={"patch_size": 80})


def test_a_file_that_takes_the_mean_off_takes_pixels() -> None:
    """As other code feeds it: BGR from 0 to 255, the mean outside the frame."""
    shipped = load_model()
    made = convert(shipped, "fp32", "cpu", None, ("mean",))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    centred = pixels - np.array([104, 117, 123], np.float32)[:, None, None]
    np.testing.assert_allclose(OrtBackbone(made)(pixels), OrtBackbone(shipped)(centred), atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        (PRECISION_KEY, "fp4", "precision is 'fp4'"),
        ("dcfnet.folded", '["label"]', "folded is"),
        ("dcfnet.folded", "3", "folded is 3"),
    ],
)
def test_what_a_file_says_of_itself_is_checked(key: str, value: str, shown: str) -> None:
    proto = load_from_string(load_model().onnx)
    props = {entry.key: entry.value for entry in proto.metadata_props} | {key: value}
    onnx.helper.set_model_props(proto, props)
    with pytest.raises(ModelError, match=r"unusable metadata") as told:
        parse_model(proto.SerializeToString(), "m")
    assert shown in str(told.value)


def test_a_file_from_before_precision_was_named_is_float32() -> None:
    proto = load_from_string(load_model().onnx)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    onnx.helper.set_model_props(proto, {key: props[key] for key in METADATA_KEYS})
    model = parse_model(proto.SerializeToString(), "m")
    assert (model.precision, model.folded) == ("fp32", ())
