"""Files in each precision: their content, their features and their engines."""

from __future__ import annotations

from pathlib import Path

import dcfnet
import numpy as np
import onnx
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.engines.builder import build
from dcfnet.engines.flavour import open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model.file import METADATA_KEYS, PRECISION_KEY, PRECISIONS, Model, parse_model
from dcfnet_evaluation.rendered import Clip
from dcfnet_export.precision import convert
from dcfnet_export.precision.quantise import calibrated
from dcfnet_export.precision.ranges import Ranges, RangesError
from dcfnet_train.backbone import ARCHITECTURES
from onnx import TensorProto, load_from_string
from onnx.reference import ReferenceEvaluator

from tests.export.models import exported

CLOSE = {
    "fp32": 1e-5,
    "fp16": 3e-3,
    "int8": 0.15,
    "mixed": 0.15,
}  # largest difference / largest feature, for random weights
SIDE = 48


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> Model:
    return exported(request.param)


def patches(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, (count, 3, SIDE, SIDE)).astype(np.float32)


def ranges_of(model: Model, sensitive: tuple[str, ...] = ("conv0",)) -> Ranges:
    """Ranges from the reference evaluator of ONNX, which shares no code with the calibrators."""
    proto = load_from_string(model.onnx)
    names = calibrated(proto)
    for name in names[1:]:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    inputs = {"patches": patches()}
    values = dict(zip(names[1:], ReferenceEvaluator(proto).run(names[1:], inputs), strict=True)) | inputs
    tensors = {name: (float(values[name].min()), float(values[name].max())) for name in names}
    return Ranges("min-max", model.weights_sha256, 3, tensors, sensitive)


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_valid_runs_and_is_close_to_float32(model: Model, precision: str, form: str) -> None:
    converted = convert(model, precision, form, ranges_of(model))
    onnx.checker.check_model(load_from_string(converted.onnx), full_check=True)
    assert converted.precision == precision
    expected, features = OrtBackbone(model)(patches()), OrtBackbone(converted)(patches())
    np.testing.assert_allclose(features, expected, atol=CLOSE[precision] * np.abs(expected).max())
    assert precision == "fp32" or not np.array_equal(features, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_parsed_and_built_by_tensorrt_rtx(model: Model, precision: str) -> None:
    """Without a GPU, for the compute capabilities of Ampere, Ada and Blackwell."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels only for x86-64")
    converted, flavour = convert(model, precision, "tensorrt", ranges_of(model)), open_flavour("tensorrt_rtx")
    for capability in ("8.6", "8.9", "12.0"):
        plan = build(
            converted.onnx, converted.name, BuildOptions.of(converted, compute_capabilities=capability), flavour
        )
        assert [end.name for end in (*plan.inputs, *plan.outputs)] == ["patches", "features"]
        halved = precision in ("fp16", "mixed")  # the first convolution of mixed is sensitive here
        assert [end.dtype for end in (*plan.inputs, *plan.outputs)] == ["half" if halved else "float", "float"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_rest_of_the_graph_stays_float32(model: Model, precision: str) -> None:
    """Output and normalisation stay float32: squared features may exceed 65,504. Patches are integers, so their type is
    that of the first convolution.
    """
    converted = convert(model, precision, "tensorrt", ranges_of(model))
    proto = onnx.shape_inference.infer_shapes(load_from_string(converted.onnx))
    ends = [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]
    types = {end.name: end.type.tensor_type.elem_type for end in ends}
    norm = [node for node in proto.graph.node if node.name.startswith("norm.")]
    assert {types[name] for node in norm for name in node.output} == {TensorProto.FLOAT}
    assert types["features"] == TensorProto.FLOAT
    assert types["patches"] == (TensorProto.FLOAT16 if precision in ("fp16", "mixed") else TensorProto.FLOAT)
    assert not any(node.op_type == "Cast" and "patches" in node.input for node in proto.graph.node)
    on_cpu = load_from_string(convert(model, precision, "cpu", ranges_of(model)).onnx)
    assert on_cpu.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT  # for other code


def test_patches_for_an_int8_convolution_stay_float32(model: Model) -> None:
    converted = convert(model, "mixed", "tensorrt", ranges_of(model, ("conv1",)))
    assert load_from_string(converted.onnx).graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_weights_in_half_precision_need_about_half_the_size(model: Model) -> None:
    full, half = (len(convert(model, name, "cpu").onnx) for name in ("fp32", "fp16"))
    assert half < 0.62 * full


def test_mixed_keeps_the_sensitive_convolutions_out_of_int8(model: Model) -> None:
    types = {}
    for form in ("cpu", "tensorrt"):
        converted = convert(model, "mixed", form, ranges_of(model, ("conv1",)))
        types[form] = {entry.name: entry.data_type for entry in load_from_string(converted.onnx).graph.initializer}
    assert types["cpu"]["conv1.weight"] == TensorProto.FLOAT
    assert types["tensorrt"]["conv1.weight"] == TensorProto.FLOAT16
    assert all("conv0.weight" not in weights for weights in types.values())  # quantised, with another name


def test_weights_have_one_scale_per_channel_or_per_tensor(model: Model) -> None:
    outputs = load_from_string(model.onnx).graph.initializer[0].dims[0]
    for per_channel, expected in ((True, outputs), (False, 1)):
        converted = convert(model, "int8", "tensorrt", ranges_of(model), per_channel=per_channel)
        constants = load_from_string(converted.onnx).graph.initializer
        (scale,) = (entry for entry in constants if entry.name == "conv0.weight_scale")
        assert int(np.prod(scale.dims)) == expected


def test_the_same_model_produces_the_same_bytes(model: Model) -> None:
    ranges = ranges_of(model)
    for precision in PRECISIONS:
        files = [convert(model, precision, "tensorrt", ranges, ("mean",)).onnx for _ in range(2)]
        assert files[0] == files[1]


def test_int8_needs_ranges_and_the_message_says_how_to_create_them(model: Model) -> None:
    for precision in ("int8", "mixed"):
        with pytest.raises(
            RangesError, match=r"needs activation ranges: add --ranges FILE, a file of dcfnet-calibrate ranges"
        ):
            convert(model, precision, "cpu")


@pytest.mark.parametrize(("precision", "folded"), [("fp8", ()), ("fp32", ("label",))])
def test_the_message_for_an_unknown_name_lists_the_known_names(
    model: Model, precision: str, folded: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="there are"):
        convert(model, precision, "cpu", None, folded)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("folded", [("mean",), ("window",), ("mean", "window")])
def test_a_tracker_with_a_folded_file_finds_the_same_boxes(precision: str, folded: tuple[str, ...], clip: Clip) -> None:
    shipped = load_model("dcfnet")
    plain, converted = convert(shipped, precision, "cpu"), convert(shipped, precision, "cpu", None, folded)
    assert converted.folded == folded
    boxes = [[tuple(result) for result in track(model, clip)] for model in (plain, converted)]
    np.testing.assert_allclose(boxes[0], boxes[1], atol=0.02 if precision == "fp32" else 0.2)


def track(model: Model, clip: Clip) -> list[dcfnet.Box]:
    from dcfnet.devices.cpu import CpuBackend
    from dcfnet.tracking.pipeline import Pipeline

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


def test_a_file_with_the_window_has_the_presets_of_one_size(tmp_path: Path) -> None:
    converted = convert(load_model("dcfnet"), "fp32", "cpu", None, ("window",))
    assert converted.config.patch_size == 108
    assert set(converted.presets) == {"accurate", "balanced"}
    assert converted.preset("balanced") == load_model("dcfnet").preset("balanced")
    assert BuildOptions.of(converted).sides() == (108, 108, 108)
    (tmp_path / "m.onnx").write_bytes(converted.onnx)
    dcfnet.Tracker(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="contains the cosine window of 108 px"):
        dcfnet.Tracker(tmp_path / "m.onnx", config={"patch_size": 80})


def test_a_file_with_the_mean_reads_pixels() -> None:
    """Input from other code: BGR from 0 to 255."""
    shipped = load_model("dcfnet")
    converted = convert(shipped, "fp32", "cpu", None, ("mean",))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    centred = pixels - np.array([104, 117, 123], np.float32)[:, None, None]
    np.testing.assert_allclose(OrtBackbone(converted)(pixels), OrtBackbone(shipped)(centred), atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        (PRECISION_KEY, "fp4", "precision is 'fp4'"),
        ("dcfnet.folded", '["label"]', "folded is"),
        ("dcfnet.folded", "3", "folded is 3"),
    ],
)
def test_the_metadata_of_a_file_are_checked(key: str, value: str, shown: str) -> None:
    proto = load_from_string(load_model("dcfnet").onnx)
    props = {entry.key: entry.value for entry in proto.metadata_props} | {key: value}
    onnx.helper.set_model_props(proto, props)
    with pytest.raises(ModelError, match=r"unusable metadata") as raised:
        parse_model(proto.SerializeToString(), "m")
    assert shown in str(raised.value)


def test_a_file_without_a_precision_is_float32() -> None:
    proto = load_from_string(load_model("dcfnet").onnx)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    onnx.helper.set_model_props(proto, {key: props[key] for key in METADATA_KEYS})
    model = parse_model(proto.SerializeToString(), "m")
    assert (model.precision, model.folded) == ("fp32", ())


def test_ranges_of_other_weights_are_refused() -> None:
    ranges = Ranges("min-max", "a" * 64, 3, {"conv0": (0.0, 1.0)})
    with pytest.raises(RangesError, match=r"measured on weights aaaaaaaaaaaa, the model has bbbbbbbbbbbb"):
        ranges.check_model("b" * 64)
