"""What dcfnet-export accepts: checkpoints of both kinds, model files, and the names of shipped models."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.errors import ConfigError, ModelError
from dcfnet.model.file import Model
from dcfnet_export.changes import Changes
from dcfnet_export.cli import app
from dcfnet_export.precision import convert
from dcfnet_export.sources import open_source
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

SHIPPED = Path(str(files("dcfnet.model"))) / "shipped"


def assert_same_network(model: Model, other: Model) -> None:
    for entry in ("weights_sha256", "levels", "confidence", "config", "presets", "stride"):
        assert getattr(model, entry) == getattr(other, entry), entry


@pytest.mark.parametrize("name", ["deep", "dcfnet"])
def test_a_shipped_model_and_its_file_are_the_same_network_and_opencv_computes_it_too(name: str) -> None:
    shipped, by_name = load_model(name), open_source(name)
    assert (by_name.model.onnx, by_name.model.name) == (shipped.onnx, name)
    source = open_source(str(SHIPPED / f"{name}.onnx"))
    assert_same_network(source.model, shipped)
    assert source.model.name == name
    assert (source.reference_name, source.compared) == ("OpenCV", False)
    side = shipped.config.patch_size
    features = source.reference(np.zeros((1, 3, side, side), np.float32))
    assert features.shape[2:] == (side // shipped.stride, side // shipped.stride)


def test_a_shipped_model_with_changes_comes_from_its_checkpoint() -> None:
    changes = Changes(settings=["padding=1.5"], stride=1, lrn="op")
    source = open_source("dcfnet", changes)
    assert (source.model.stride, source.model.config.padding, source.reference_name) == (1, 1.5, "torch")
    assert source.model.weights_sha256 == load_model("dcfnet").weights_sha256


@pytest.mark.parametrize("name", ["deep", "dcfnet"])
def test_a_checkpoint_is_opened_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[Path]()

    def record(file: Path, framework: str) -> Any:
        opened.append(file)
        return safe_open(file, framework=framework)

    monkeypatch.setattr("dcfnet_train.checkpoint.safe_open", record)
    checkpoint = SHIPPED / f"{name}.safetensors"
    assert open_source(str(checkpoint)).reference_name == "torch"
    assert opened == [checkpoint]


def test_a_file_of_another_format_names_both_programs(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "other.safetensors", {"format": "other"})
    with pytest.raises(ModelError, match=r"use a checkpoint of dcfnet-train or python -m dcfnet_train\.deep"):
        open_source(str(tmp_path / "other.safetensors"))


def test_a_file_of_a_shipped_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").write_bytes((SHIPPED / "dcfnet.safetensors").read_bytes())
    monkeypatch.chdir(tmp_path)
    source = open_source("deep")
    assert source.model.weights_sha256 == load_model("dcfnet").weights_sha256


def test_the_ending_of_a_model_file_may_have_capitals(tmp_path: Path) -> None:
    (tmp_path / "TUNED.ONNX").write_bytes((SHIPPED / "dcfnet.onnx").read_bytes())
    assert open_source(str(tmp_path / "TUNED.ONNX")).model.name == "TUNED"


def test_a_folder_of_a_shipped_name_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dcfnet").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_source("dcfnet").model.weights_sha256 == load_model("dcfnet").weights_sha256


@pytest.mark.parametrize(
    ("fit", "message"),
    [("none.json", "none.json: no such file; create it with dcfnet-calibrate confidence"), (".", "cannot be read")],
)
def test_a_fit_that_cannot_be_read_is_refused(
    fit: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        open_source(str(SHIPPED / "deep.safetensors"), Changes(confidence=Path(fit)))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("deep.onnx", {"stride": 2}, "--stride: no effect on a model file; export the checkpoint of deep.onnx"),
        ("deep.onnx", {"settings": ["margin=2"]}, "--set: no effect on a model file"),
        ("deep.safetensors", {"lrn": "op", "config": "paper"}, "--config, --lrn: no effect on deep.safetensors"),
        ("dcfnet.safetensors", {"confidence": Path("fit.json")}, "--confidence: no effect on dcfnet.safetensors"),
    ],
)
def test_an_option_without_effect_is_refused(file: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(str(SHIPPED / file), Changes(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "folded"), [("fp16", ()), ("fp32", ("mean",))])
def test_only_a_plain_float32_model_is_converted(precision: str, folded: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "converted.onnx"
    file.write_bytes(convert(load_model("dcfnet"), precision, "cpu", folded=folded).onnx)
    kind = "mean in its graph" if folded else precision
    with pytest.raises(ModelError, match=f"a model .*{kind} cannot be converted; give the float32 model"):
        open_source(str(file))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--onnx", "--precision", "fp16"], 0, "deep-fp16.onnx"),
        (["deep", "--onnx", "--set", "padding=1.5"], 1, "torch is not installed; install it with: pip install"),
        ([str(SHIPPED / "deep.safetensors"), "--onnx"], 1, "torch is not installed; install it with: pip install"),
    ],
)
def test_only_a_checkpoint_needs_torch(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    """A robot has no torch, and builds its engine from a model file."""
    absent = ("torch", "safetensors", "onnxscript", "onnxruntime", "matplotlib", "jinja2", "sklearn")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r})); sys.argv[0] = 'dcfnet-export';"
        "from dcfnet_export.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, *arguments, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert bool(list(tmp_path.iterdir())) == (code == 0)


def test_what_is_nothing_of_this_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "text.onnx").write_text("no graph")
    for name, message in (
        ("deeper", "deeper: no such file; give a checkpoint, a float32 model (.onnx), or the name of a shipped model"),
        ("text.safetensors", "not a readable safetensors file"),
        ("text.onnx", "not an ONNX file; create a model with dcfnet-export --onnx"),
    ):
        given = str(tmp_path / name) if name.startswith("text") else name
        result = CliRunner().invoke(app, [given, "--onnx", "--output", str(tmp_path / "out")])
        assert result.exit_code == 1
        assert message in result.output
    assert not (tmp_path / "out").exists()
