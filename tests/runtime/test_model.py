"""Model files: they are read without the onnx package, and errors name the remedy."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from dcfnet.backbones.cvdnn import CvDnnBackbone
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.selection import open_backbone
from dcfnet.errors import ConfigError, MissingDependencyError, ModelError
from dcfnet.model.file import (
    CONFIDENCE_KEY,
    CONFIG_KEY,
    FOLDED_KEY,
    FORMAT_KEY,
    INPUT_KEY,
    LEVELS_KEY,
    METADATA_KEYS,
    PRECISION_KEY,
    PRESETS_KEY,
    SHIPPED,
    parse_model,
    read_metadata,
)
from dcfnet_train.backbone import MEAN_BGR
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def shipped() -> onnx.ModelProto:
    return onnx.load_from_string(load_model("dcfnet").onnx)


def with_metadata(proto: onnx.ModelProto, **changes: str | None) -> bytes:
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    entries |= {key.replace("_", ".", 1): value for key, value in changes.items() if value is not None}
    for key in [key.replace("_", ".", 1) for key, value in changes.items() if value is None]:
        entries.pop(key)
    onnx.helper.set_model_props(proto, entries)
    return proto.SerializeToString()


def test_metadata_equals_that_of_the_onnx_package(shipped: onnx.ModelProto) -> None:
    expected = {entry.key: entry.value for entry in shipped.metadata_props}
    assert read_metadata(shipped.SerializeToString()) == expected
    assert set(expected) == {*METADATA_KEYS, PRECISION_KEY, FOLDED_KEY}


def test_the_shipped_model_is_a_valid_graph(shipped: onnx.ModelProto) -> None:
    onnx.checker.check_model(shipped, full_check=True)
    assert shipped.opset_import[0].version >= 18
    (patches,), (features,) = shipped.graph.input, shipped.graph.output
    assert (patches.name, features.name) == ("patches", "features")
    input_shape, output_shape = (part.type.tensor_type.shape.dim for part in (patches, features))
    assert [dim.dim_param or dim.dim_value for dim in input_shape] == ["batch", 3, "height", "width"]
    assert [dim.dim_param or dim.dim_value for dim in output_shape] == ["batch", 32, "map_height", "map_width"]
    assert len(shipped.SerializeToString()) < 100_000
    assert not any(node.metadata_props for node in shipped.graph.node)


@pytest.mark.parametrize("batch", [1, 3, 8, 2])
def test_all_engines_compute_the_same_features(rng: np.random.Generator, batch: int) -> None:
    model = load_model("dcfnet")
    patches = rng.uniform(-120, 140, size=(batch, 3, 126, 126)).astype(np.float32)
    by_ort, by_opencv = OrtBackbone(model)(patches), CvDnnBackbone(model)(patches)
    assert by_ort.shape == by_opencv.shape == (batch, 32, 63, 63)
    np.testing.assert_allclose(by_ort, by_opencv, atol=1e-5 * np.abs(by_ort).max())


def test_opencv_runs_the_model_if_onnxruntime_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_backbone(load_model()), OrtBackbone)
    monkeypatch.setattr("dcfnet.backbones.selection.find_spec", lambda name: None)
    assert isinstance(open_backbone(load_model()), CvDnnBackbone)


def test_one_thread_gives_the_features_of_all_threads() -> None:
    patches = np.random.default_rng(0).integers(-100, 100, (3, 3, 108, 108)).astype(np.float32)
    one, default = (open_backbone(load_model("dcfnet"), "onnxruntime", threads=threads) for threads in (1, None))
    assert isinstance(one, OrtBackbone)
    assert one._session.get_session_options().intra_op_num_threads == 1
    np.testing.assert_allclose(one(patches), default(patches), rtol=0, atol=1e-5)


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2"])
def test_a_number_of_threads_that_is_none_is_refused(threads: Any) -> None:
    with pytest.raises(ConfigError, match=r"threads=.*: must be a whole number of at least 1"):
        open_backbone(load_model(), threads=threads)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"\xff" * 50, b"\x08\x08", b"PK\x03\x04junk"])
def test_bytes_that_are_not_an_onnx_file_raise(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx.*dcfnet-export"):
        load_model(file)


@given(st.binary(max_size=300))
def test_any_invalid_bytes_raise_model_error_only(content: bytes) -> None:
    with pytest.raises(ModelError):
        parse_model(content, "fuzz")


@pytest.mark.parametrize("length", [10, 1000, 40_000, -1])
def test_a_truncated_file_raises(length: int) -> None:
    with pytest.raises(ModelError):
        parse_model(load_model().onnx[:length], "cut")


def test_the_error_for_a_missing_file_names_the_command_that_creates_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such file.*dcfnet-export"):
        load_model(tmp_path / "none.onnx")


def test_the_error_for_another_onnx_file_names_the_missing_metadata(shipped: onnx.ModelProto) -> None:
    del shipped.metadata_props[:]
    with pytest.raises(ModelError, match=r"lacks dcfnet\.format, dcfnet\.config.*; create a model with dcfnet-export"):
        parse_model(shipped.SerializeToString(), "other.onnx")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (FORMAT_KEY, "99", "'99'.*reads '4'; export it again"),
        (CONFIG_KEY, "{", "unusable metadata"),
        (CONFIG_KEY, json.dumps({"lambda0": 1}), "lambda0"),
        (CONFIG_KEY, json.dumps({"scales": 2}), "scales=2"),
        (CONFIG_KEY, "[1]", "unusable metadata"),
        (INPUT_KEY, json.dumps({"channels": "RGB", "mean": [1, 2, 3]}), "RGB"),
        (INPUT_KEY, json.dumps({"channels": "BGR", "mean": [0.5, 2, 3]}), "whole numbers"),
        (INPUT_KEY, json.dumps({"channels": "BGR"}), "whole numbers"),
        (INPUT_KEY, json.dumps({"channels": "BGR", "mean": [1, 2, 3]}), "stride is None"),
        (INPUT_KEY, json.dumps({"channels": "BGR", "mean": [1, 2, 3], "stride": 0}), "stride is 0"),
        (PRESETS_KEY, json.dumps({"fast": {"speed": 2}}), "speed"),
        (PRESETS_KEY, json.dumps(["fast"]), "unusable metadata"),
        (INPUT_KEY, "3", "unusable metadata"),
        (INPUT_KEY, json.dumps({"channels": "BGR", "mean": [10**400, 2, 3], "stride": 2}), "unusable metadata"),
        (CONFIG_KEY, json.dumps({"padding": 10**400}), "padding=1"),
        (CONFIG_KEY, "[" * 100_000, "unusable metadata"),
        (LEVELS_KEY, json.dumps([{"channels": 32, "label_sigma": 1e400}]), "finite label_sigma"),
        (LEVELS_KEY, json.dumps([{"channels": 32.5, "label_sigma": 0.1}]), "levels are"),
        (CONFIDENCE_KEY, json.dumps({"bias": 10**400, "weights": {"peak": 1}}), "its numbers must be"),
    ],
)
def test_the_error_shows_invalid_metadata(shipped: onnx.ModelProto, key: str, value: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_model(with_metadata(shipped, **{key.replace(".", "_", 1): value}), "m.onnx")


def test_weights_in_other_files_raise(shipped: onnx.ModelProto) -> None:
    """A path in a downloaded file can name any file of the machine."""
    tensor = shipped.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    with pytest.raises(ModelError, match="its weights are in other files; a model must be one file"):
        parse_model(shipped.SerializeToString(), "m.onnx")


def test_weights_in_other_files_raise_wherever_they_are(shipped: onnx.ModelProto) -> None:
    """In a function, in a sparse tensor, in a graph inside a node."""
    outside = onnx.helper.make_tensor("w", 1, [1], [1.0])
    outside.external_data.add(key="location", value="secret")
    constant = onnx.helper.make_node("Constant", [], ["w"], value=outside)
    sparse = onnx.helper.make_sparse_tensor(outside, onnx.helper.make_tensor("i", 7, [1], [0]), [9])
    in_function, in_sparse, in_branch = (onnx.ModelProto.FromString(shipped.SerializeToString()) for _ in range(3))
    in_function.functions.append(
        onnx.helper.make_function("x", "f", [], ["w"], [constant], [onnx.helper.make_opsetid("", 18)])
    )
    in_sparse.graph.sparse_initializer.append(sparse)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    in_branch.graph.node.append(onnx.helper.make_node("If", ["c"], ["v"], then_branch=branch))
    for model in (in_function, in_sparse, in_branch):
        with pytest.raises(ModelError, match="its weights are in other files"):
            parse_model(model.SerializeToString(), "m.onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_weights_that_are_not_finite_raise_for_all_engines(
    shipped: onnx.ModelProto, dtype: type[np.floating[Any]], value: float
) -> None:
    """OpenCV computes ReLU(NaN) = 0, so its features do not show them."""
    shipped.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, value], dtype), "conv9.bias"))
    with pytest.raises(ModelError, match=r"m\.onnx: its tensor 'conv9.bias' has values that are NaN or infinite"):
        parse_model(shipped.SerializeToString(), "m.onnx")


def test_graphs_that_are_nested_too_deeply_raise(shipped: onnx.ModelProto) -> None:
    graph = onnx.helper.make_graph([], "innermost", [], [])
    for _ in range(20):
        graph = onnx.helper.make_graph([onnx.helper.make_node("If", ["c"], ["v"], then_branch=graph)], "g", [], [])
    shipped.graph.node.append(graph.node[0])
    with pytest.raises(ModelError, match="not an ONNX file"):
        parse_model(shipped.SerializeToString(), "m.onnx")


@pytest.mark.skipif(os.name == "nt", reason="needs files with holes")
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.touch()
    os.truncate(file, 2**40)
    with pytest.raises(ModelError, match=r"m\.onnx: cannot be read \(it has more than 67108864 bytes"):
        load_model(file)


@pytest.mark.parametrize("name", SHIPPED)
def test_training_and_tracking_use_the_same_mean(name: str) -> None:
    np.testing.assert_array_equal(load_model(name).mean, MEAN_BGR)


def test_a_graph_with_other_tensor_names_raises(shipped: onnx.ModelProto) -> None:
    shipped.graph.node[-1].output[0] = shipped.graph.output[0].name = "embedding"
    with pytest.raises(ModelError, match=r"m\.onnx: cannot run on patches of 126 px with an input named 'patches'"):
        open_backbone(parse_model(shipped.SerializeToString(), "m.onnx"), "onnxruntime")


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
@pytest.mark.parametrize("side", [64, 96, 200])
def test_a_graph_accepts_patches_of_any_size(engine: str, side: int) -> None:
    features = open_backbone(load_model("dcfnet"), engine, side)(np.zeros((3, 3, side, side), np.float32))
    assert features.shape == (3, 32, side // 2, side // 2)


def test_a_graph_with_another_stride_than_declared_raises(shipped: onnx.ModelProto) -> None:
    declared = json.dumps({"channels": "BGR", "mean": [104, 117, 123], "stride": 3})
    model = parse_model(with_metadata(shipped, **{INPUT_KEY.replace(".", "_", 1): declared}), "m.onnx")
    with pytest.raises(
        ModelError, match=r"features of shape \(2, 32, 63, 63\) for two patches of 126 px, must be \(2, C, 42, 42\)"
    ):
        open_backbone(model, "onnxruntime")


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_a_graph_that_an_engine_cannot_run_raises(shipped: onnx.ModelProto, engine: str) -> None:
    shipped.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match=r"m\.onnx"):
        open_backbone(parse_model(shipped.SerializeToString(), "m.onnx"), engine)


def test_the_error_for_a_missing_engine_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "dcfnet.backbones.ort")
    with pytest.raises(MissingDependencyError, match=r"onnxruntime is not installed.*dcfnet\[cpu\]"):
        open_backbone(load_model(), "onnxruntime")
