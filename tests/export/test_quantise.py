"""Int8 files: they run, their features are close to float32, and unsuitable ranges are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model.file import parse_model
from dcfnet_export.naming import convolutions
from dcfnet_export.precision.quantise import FORMS, calibrated, quantise
from dcfnet_export.precision.ranges import Ranges, RangesError
from dcfnet_train.backbone import ARCHITECTURES

from tests.export.models import exported

BOUND = {"cpu": 0.08, "tensorrt": 0.04}  # error norm / norm: 255 steps over a range, twice, and 127 steps of weights
SIDE = 64


def patches(count: int = 4) -> np.ndarray:
    """Patches as in the tracker: smooth, with detail, and integers after the mean is subtracted."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-110, 130, (count, 3, SIDE // 8, SIDE // 8)).repeat(8, axis=2).repeat(8, axis=3)
    return np.round(coarse + rng.normal(0, 8, (count, 3, SIDE, SIDE))).astype(np.float32)


def run(content: bytes, inputs: np.ndarray, outputs: tuple[str, ...] = ("features",)) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(list(outputs), {"patches": inputs})


def measured(content: bytes, inputs: np.ndarray) -> Ranges:
    """Ranges from the extremes of each tensor, without a calibrator."""
    proto = onnx.load_from_string(content)
    names = calibrated(proto)[1:]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    outputs = dict(zip(names, run(proto.SerializeToString(), inputs, tuple(names)), strict=True))
    ends = {name: (float(v.min()), float(v.max())) for name, v in {"patches": inputs, **outputs}.items()}
    return Ranges("extremes", parse_model(content, "m").weights_sha256, len(inputs), ends)


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[bytes, Ranges]]:
    contents = {name: exported(name).onnx for name in ARCHITECTURES}
    return {name: (content, measured(content, patches())) for name, content in contents.items()}


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_features_of_an_int8_file_are_close_to_float32(
    models: dict[str, tuple[bytes, Ranges]], architecture: str, form: str, per_channel: bool
) -> None:
    content, ranges = models[architecture]
    layers = convolutions(onnx.load_from_string(content).graph)
    quantised = quantise(content, ranges, layers, form, per_channel)
    for batch in (1, 4):
        [expected], [features] = run(content, patches()[:batch]), run(quantised, patches()[:batch])
        assert features.shape == expected.shape
        assert 0 < np.linalg.norm(features - expected) / np.linalg.norm(expected) < BOUND[form]
    assert len(quantised) < 0.45 * len(content) or len(content) < 20_000  # a small file is mostly its graph


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_rest_of_the_graph_is_unchanged(
    models: dict[str, tuple[bytes, Ranges]], architecture: str, form: str
) -> None:
    content, ranges = models[architecture]
    before = onnx.load_from_string(content)
    after = onnx.load_from_string(quantise(content, ranges, convolutions(before.graph), form))
    for ends in ("input", "output", "name"):
        assert getattr(after.graph, ends) == getattr(before.graph, ends)
    assert list(after.metadata_props) == list(before.metadata_props)
    assert (after.opset_import, after.ir_version, after.producer_name) == (
        before.opset_import,
        before.ir_version,
        before.producer_name,
    )
    assert not after.graph.value_info
    new, old = ({t.name: onnx.numpy_helper.to_array(t) for t in p.graph.initializer} for p in (after, before))
    for name in (name for name in old if name.startswith("norm.")):
        assert new[name].dtype == np.float32
        np.testing.assert_array_equal(new[name], old[name])
    norms = [[n for n in proto.graph.node if n.name.startswith("norm.")] for proto in (before, after)]
    assert [(n.name, n.op_type, n.output) for n in norms[0]] == [(n.name, n.op_type, n.output) for n in norms[1]]


def test_the_form_for_tensorrt_is_symmetric_and_has_no_integer_bias(
    models: dict[str, tuple[bytes, Ranges]],
) -> None:
    content, ranges = models["conv2"]
    graph = onnx.load_from_string(quantise(content, ranges, ["conv0", "conv1"], "tensorrt")).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    points = {name: value for name, value in constants.items() if name.endswith("zero_point")}
    assert len(points) == 4
    assert all(value.dtype == np.int8 and not value.any() for value in points.values())
    assert not [name for name, value in constants.items() if value.dtype == np.int32]
    assert constants["conv0.weight_scale"].shape == constants["conv0.bias"].shape
    dequantised = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    axis = [a.i for a in dequantised["conv0.weight_DequantizeLinear_Output"].attribute if a.name == "axis"]
    assert axis == [0]


def test_on_the_cpu_every_convolution_becomes_an_integer_convolution(
    models: dict[str, tuple[bytes, Ranges]], tmp_path: Path
) -> None:
    content, ranges = models["conv2"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    quantised = quantise(content, ranges, ["conv0", "conv1"], "cpu")
    onnxruntime.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert operators.count("QLinearConv") == 2
    weights = [onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(quantised).graph.initializer]
    assert max(np.abs(w.astype(int)).max() for w in weights if w.ndim == 4 and w.dtype == np.int8) <= 64


@pytest.mark.parametrize("form", FORMS)
def test_other_layers_stay_float(models: dict[str, tuple[bytes, Ranges]], form: str) -> None:
    content, ranges = models["conv2"]
    [expected] = run(content, patches())
    errors = {}
    for layers in (["conv0"], ["conv1"], ["conv0", "conv1"]):
        quantised = quantise(content, ranges, layers, form)
        constants = {tensor.name for tensor in onnx.load_from_string(quantised).graph.initializer}
        assert {f"{name}.weight" for name in ("conv0", "conv1")} & constants == {
            f"{name}.weight" for name in ("conv0", "conv1") if name not in layers
        }
        [features] = run(quantised, patches())
        errors[len(layers), layers[0]] = np.linalg.norm(features - expected)
    assert max(errors) == (2, "conv0")
    assert max(errors.values()) == errors[2, "conv0"]


def test_no_layers_leave_the_file_unchanged(models: dict[str, tuple[bytes, Ranges]]) -> None:
    content, ranges = models["released"]
    assert quantise(content, ranges, [], "cpu") == content


def test_the_same_inputs_produce_the_same_bytes_in_any_process_without_torch(
    models: dict[str, tuple[bytes, Ranges]], tmp_path: Path
) -> None:
    content, ranges = models["released"]
    (tmp_path / "m.onnx").write_bytes(content)
    ranges.write(tmp_path / "ranges.json")
    code = (
        "import sys; from pathlib import Path; from dcfnet_export.precision.quantise import quantise\n"
        "from dcfnet_export.precision.ranges import Ranges; folder = Path(sys.argv[1])\n"
        "ranges = Ranges.read(folder / 'ranges.json')\n"
        "quantised = quantise((folder / 'm.onnx').read_bytes(), ranges, ['conv0', 'conv1'], 'cpu')\n"
        "(folder / sys.argv[2]).write_bytes(quantised); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path, "other"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert (tmp_path / "other").read_bytes() == quantise(content, ranges, ["conv0", "conv1"], "cpu")


def test_unsuitable_ranges_and_models_are_reported(models: dict[str, tuple[bytes, Ranges]]) -> None:
    content, ranges = models["released"]
    with pytest.raises(
        RangesError, match=r"measured on weights abcabc, the model has [0-9a-f]{12}: measure ranges of this"
    ):
        quantise(content, replace(ranges, weights_sha256="abcabc"), ["conv0"], "cpu")
    with pytest.raises(ConfigError, match=r"no convolution conv7, norm\.1; there are conv0, conv1"):
        quantise(content, ranges, ["conv0", "conv7", "norm.1"], "cpu")
    with pytest.raises(ConfigError, match="no form 'arm'; there are cpu, tensorrt"):
        quantise(content, ranges, ["conv0"], "arm")
    with pytest.raises(RangesError, match="no range of relu0; measure the ranges again with dcfnet-calibrate ranges"):
        quantise(content, replace(ranges, tensors={"patches": (0, 1), "conv0": (0, 1), "conv1": (0, 1)}), [], "cpu")
    with pytest.raises(ConfigError, match="already has a lower precision; use the float32 model"):
        quantise(quantise(content, ranges, ["conv0"], "cpu"), ranges, ["conv1"], "cpu")
    with pytest.raises(ModelError, match="not an ONNX file"):
        quantise(b"junk", ranges, ["conv0"], "cpu")


GOOD = {
    "format": 1,
    "method": "minmax",
    "weights_sha256": "ab",
    "patches": 3,
    "tensors": {"patches": [-1, 1], "conv0": [-2.5, 3], "relu0": [0, 3], "conv1": [-9, 9]},
    "sensitive": ["conv0"],
}


def test_ranges_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "original.json").write_text(json.dumps(GOOD))
    ranges = Ranges.read(tmp_path / "original.json")
    assert ranges.tensors["conv0"] == (-2.5, 3.0)
    ranges.write(tmp_path / "copy.json")
    assert Ranges.read(tmp_path / "copy.json") == ranges
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"format": 2}, "format 2, this version reads 1; measure again"),
        ({"author": "me"}, "unknown author"),
        ({"method": 3}, "method is 3: must be text"),
        ({"patches": 0}, "patches is 0: must be a whole number above 0"),
        ({"tensors": {"conv0": [1]}}, "range of conv0 is [1]: must be two numbers"),
        ({"tensors": {"conv0": [True, 1]}}, "range of conv0 is [True, 1]: must be two numbers"),
        ({"tensors": {"conv0": [2, 1]}}, "range of conv0 is [2.0, 1.0]: low must be below high"),
        ({"tensors": {"conv0": [0, float("nan")]}}, "range of conv0 is [0.0, nan]: both ends must be finite"),
        ({"tensors": {"conv0": [0, float("inf")]}}, "range of conv0 is [0.0, inf]: both ends must be finite"),
        ({"tensors": {"relu0": [-1, 1]}}, "range of relu0 is [-1.0, 1.0]: low must be at least 0 after a ReLU"),
        ({"tensors": []}, "tensors is []: must map names"),
        ({"tensors": {"conv0": [1, 1]}}, "range of conv0 is [1.0, 1.0]: low must be below high"),
        ({"tensors": {"conv0": [0, 1e300]}}, "both ends must be finite float32 numbers"),
        ({"tensors": {"conv0": [0, 10**400]}}, "must be two numbers"),
        ({"sensitive": ["conv9"]}, "sensitive: no convolution conv9; there are conv0, conv1"),
        ({"sensitive": ["relu0"]}, "sensitive: no convolution relu0"),
        (
            {"sensitive": ["conv0", "conv1"]},
            "sensitive: contains every convolution; mixed precision needs at least one in int8",
        ),
        ({"sensitive": "conv0"}, "sensitive is 'conv0': must be a list"),
    ],
)
def test_a_fault_in_a_file_of_ranges_is_reported(tmp_path: Path, change: dict[str, object], shown: str) -> None:
    file = tmp_path / "ranges.json"
    file.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(RangesError) as raised:
        Ranges.read(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert shown in str(raised.value)


def test_a_file_that_does_not_contain_ranges_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RangesError, match=r"none.json: no such file; create it with dcfnet-calibrate ranges"):
        Ranges.read(tmp_path / "none.json")
    with pytest.raises(RangesError, match="cannot be read"):
        Ranges.read(tmp_path)
    for content, shown in ((b"{", "not JSON"), (b"\xff", "not JSON"), (b"[]", "format 'list'"), (b"3", "format 'int'")):
        (tmp_path / "r.json").write_bytes(content)
        with pytest.raises(RangesError, match=shown):
            Ranges.read(tmp_path / "r.json")
    incomplete = {key: value for key, value in GOOD.items() if key not in ("method", "sensitive")}
    (tmp_path / "r.json").write_text(json.dumps(incomplete))
    with pytest.raises(RangesError, match="lacks method, sensitive"):
        Ranges.read(tmp_path / "r.json")


def test_the_shipped_model_can_be_quantised() -> None:
    content = load_model("dcfnet").onnx
    ranges = measured(content, patches())
    for form in FORMS:
        [expected], [features] = (
            run(content, patches()),
            run(quantise(content, ranges, ["conv0", "conv1"], form), patches()),
        )
        assert np.linalg.norm(features - expected) / np.linalg.norm(expected) < BOUND[form]
