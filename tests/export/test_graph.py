"""The exported file: equal to torch, reproducible, and refused if it differs from torch."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import onnx
import pytest
import torch
from dcfnet.backbones.cvdnn import CvDnnBackbone
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.config import TrackerConfig
from dcfnet_export import graph
from dcfnet_export.cli import app
from dcfnet_export.errors import ParityError
from dcfnet_export.graph import check_parity, export_onnx
from dcfnet_export.naming import convolutions
from dcfnet_train.backbone import ARCHITECTURES
from dcfnet_train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dcfnet_train.recipe import Recipe
from typer.testing import CliRunner

from tests.export.models import SIDE, exported, initial

SHIPPED = Path(graph.__file__).parents[2] / "runtime/dcfnet/model/shipped/dcfnet.safetensors"


@pytest.mark.parametrize("lrn", ["fast", "op"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_engine_computes_what_torch_computes(architecture: str, stride: int, lrn: str) -> None:
    model = exported(architecture, stride, lrn)
    operators = [node.op_type for node in onnx.load_from_string(model.onnx).graph.node]
    assert ("LRN" in operators) == (lrn == "op")
    assert operators[:3] == ["Conv", "Relu", "Conv"]
    patches = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 60
    with torch.no_grad():
        expected = initial(architecture).backbone(padding=True, stride=stride)(patches).numpy()
    assert expected.shape == (4, 32, SIDE // stride, SIDE // stride)
    for engine in (OrtBackbone, CvDnnBackbone):
        np.testing.assert_allclose(engine(model)(patches.numpy()), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_have_stable_names(architecture: str) -> None:
    proto = onnx.load_from_string(exported(architecture).onnx).graph
    count = len(ARCHITECTURES[architecture].channels)
    assert convolutions(proto) == [f"conv{i}" for i in range(count)]
    constants = {tensor.name for tensor in proto.initializer}
    assert {f"conv{i}.{part}" for i in range(count) for part in ("weight", "bias")} <= constants
    assert all(node.output[0] in (node.name, "features") for node in proto.node)


def test_the_file_contains_the_config(tmp_path: Path) -> None:
    config = TrackerConfig(patch_size=96, padding=1.5, scales=5)
    export_onnx(initial("released"), config, tmp_path / "m.onnx")
    assert load_model(tmp_path / "m.onnx").config == config


def test_the_same_weights_produce_the_same_file_without_paths(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_onnx(initial("released"), TrackerConfig(), tmp_path / name)
    first = (tmp_path / "a.onnx").read_bytes()
    assert first == (tmp_path / "b.onnx").read_bytes()
    assert b".py" not in first
    assert str(tmp_path).encode() not in first


def test_a_graph_that_differs_fails_the_export_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = graph.trace

    def wrong(network: torch.nn.Module, patch_size: int) -> onnx.ModelProto:
        with torch.no_grad():
            next(network.parameters()).mul_(1.001)
        proto = original(network, patch_size)
        with torch.no_grad():
            next(network.parameters()).div_(1.001)
        return proto

    monkeypatch.setattr(graph, "trace", wrong)
    with pytest.raises(ParityError, match="differs from torch"):
        export_onnx(initial("released"), TrackerConfig(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_shipped_files_contain_the_same_network() -> None:
    shipped = load_checkpoint(SHIPPED)
    assert not shipped.optimiser
    assert check_parity(load_model("dcfnet"), shipped.backbone(padding=True, stride=2)) < 1e-4
    assert SHIPPED.stat().st_size < 90_000


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_the_command_exports_the_shipped_weights(tmp_path: Path) -> None:
    code, text = run("dcfnet", "--onnx", "--output", tmp_path)
    assert code == 0, text
    assert load_model(tmp_path / "dcfnet.onnx").weights_sha256 == load_model("dcfnet").weights_sha256


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["none.safetensors", "--onnx"], "none.safetensors"),
        (["none.npz", "--onnx"], "none.npz"),
        (["dcfnet", "--onnx", "--config", "best"], "--config best: must be one of"),
        ([], "--onnx"),
    ],
)
def test_a_mistake_is_reported(tmp_path: Path, args: list[str], shown: str) -> None:
    code, text = run(*args, "--output", tmp_path)
    assert code != 0
    assert shown in text
    assert "Traceback" not in text


def test_the_config_comes_from_the_training_and_the_options(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    save_checkpoint(Checkpoint(initial("released").weights, Recipe(padding=1.5), 0, {}), file)
    assert run(file, "--onnx", "--output", tmp_path)[0] == 0
    assert load_model(tmp_path / "net.onnx").config.padding == 1.5
    assert run(file, "--onnx", "--output", tmp_path, "--set", "patch_size=64")[0] == 0
    assert load_model(tmp_path / "net.onnx").config.patch_size == 64


def test_the_decoder_is_not_exported(tmp_path: Path) -> None:
    weights = initial("released").weights
    for objective, decoder in (("tracking", {}), ("denoising", {"transposed.bias": torch.ones(3)})):
        trained = Checkpoint(weights, Recipe(objective=objective), 0, {}, decoder=decoder)
        save_checkpoint(trained, tmp_path / f"{objective}.safetensors")
        assert run(tmp_path / f"{objective}.safetensors", "--onnx", "--output", tmp_path)[0] == 0
    assert (tmp_path / "denoising.onnx").read_bytes() == (tmp_path / "tracking.onnx").read_bytes()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_a_broken_archive_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    code, text = run(tmp_path / "w.npz", "--onnx", "--output", tmp_path)
    assert code == 1
    assert "w.npz: not an .npz of the released weights" in text


def test_released_arrays_of_another_shape_are_reported(tmp_path: Path) -> None:
    shapes = {"conv1_weight": (32, 3, 5, 5), "conv1_bias": 32, "conv2_weight": (32, 32, 3, 3), "conv2_bias": 32}
    np.savez(tmp_path / "w.npz", **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})  # type: ignore[arg-type]
    code, text = run(tmp_path / "w.npz", "--onnx", "--output", tmp_path)
    assert code == 1
    assert "(32, 3, 5, 5), expected (32, 3, 3, 3)" in text


def npy(shape: tuple[int, ...], descr: str = "<f4", version: tuple[int, int] = (1, 0)) -> bytes:
    """The start of an array in NumPy's format, whose header claims any shape."""
    file = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(file, {"shape": shape, "fortran_order": False, "descr": descr})  # type: ignore[arg-type]
    return file.getvalue() + bytes(64)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (npy((200_000, 200_000)), "(200000, 200000), expected (32, 3, 3, 3)"),
        (npy((32, 3, 3, 3), "|V2000000000"), "dtype |V2000000000, it must be a float"),
        (npy((32, 3, 3, 3), version=(2, 0)), "not of version 1.0"),
    ],
)
def test_an_array_is_refused_by_its_header(tmp_path: Path, entry: bytes, message: str) -> None:
    """An archive of a few MB can hold arrays of many GB."""
    with ZipFile(tmp_path / "w.npz", "w", ZIP_DEFLATED) as archive:
        for name in ("conv1_weight", "conv1_bias", "conv2_weight", "conv2_bias"):
            archive.writestr(f"{name}.npy", entry)
    tracemalloc.start()
    code, text = run(tmp_path / "w.npz", "--onnx", "--output", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == 1
    assert message in text
    assert peak < 2**24


@pytest.mark.skipif(os.name == "nt", reason="needs files with holes")
@pytest.mark.parametrize("name", ["w.safetensors", "ranges.json"])
def test_a_file_of_many_gb_is_refused_by_its_size(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.touch()
    os.truncate(file, 2**40)
    option = [] if name.startswith("w") else ["--precision", "int8", "--ranges"]
    code, text = run("--onnx", "--output", tmp_path, *option, file)
    assert code == 1
    assert f"{name}: " in text
    assert "more than" in text


def test_a_file_that_is_not_a_checkpoint_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"not safetensors")
    code, text = run(file, "--onnx", "--output", tmp_path)
    assert code == 1
    assert "w.safetensors: not a readable safetensors file" in text


@pytest.mark.shared
def test_the_released_weights_can_be_exported(shared: Path, tmp_path: Path) -> None:
    code, text = run(shared / "reference/dcfnet2.npz", "--onnx", "--config", "released", "--output", tmp_path)
    assert code == 0, text
    assert load_model(tmp_path / "dcfnet2.onnx").config == TrackerConfig.named("released")
