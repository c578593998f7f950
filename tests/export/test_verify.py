"""The gate: an export passes if it tracks as well as the network; divergences are reported."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet_evaluation.scores import Comparison
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_export.cli import REFUSED, app
from dcfnet_export.precision.ranges import Ranges
from dcfnet_export.sources import open_source
from dcfnet_export.verify import AHEAD, Verification, verify
from dcfnet_train.footage.videos import open_sequences
from typer.testing import CliRunner

from tests.train.footage import make_otb_dataset

NETWORK = open_source("dcfnet").reference


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_otb_dataset(tmp_path_factory.mktemp("otb"), length=16)


def verified(dataset: Path, weaken: float = 0.0) -> Verification:
    """Compares the model `dcfnet` with its checkpoint, with every second channel multiplied by 1 - weaken."""
    model = load_model("dcfnet")
    correct, factor = OrtBackbone(model), np.where(np.arange(32) % 2, 1 - weaken, 1)[:, None, None]

    def backbone(patches: np.ndarray) -> np.ndarray:
        return (correct(patches) * factor).astype(np.float32)

    config = model.preset("balanced")
    return verify(model, NETWORK, correct, {"m": backbone}, open_sequences(str(dataset)), config, patches=30)["m"]


@pytest.fixture(scope="module")
def correct(dataset: Path) -> Verification:
    """The result of the shipped model, which is frozen."""
    return verified(dataset)


def test_the_shipped_file_matches_its_checkpoint(correct: Verification) -> None:
    assert correct.patches >= 30
    assert correct.patches % 3 == 0
    assert correct.feature_error < 1e-4
    assert correct.peak_shift < 0.05
    assert correct.divergences == ()
    assert not correct.objections("fp32", 0.002)
    assert correct.reference == pytest.approx(correct.auc, abs=0.002)


def test_the_measured_errors_grow_with_the_fault(dataset: Path) -> None:
    slight, strong = verified(dataset, 0.01), verified(dataset, 0.5)
    assert 0.003 < slight.feature_error < 0.0101  # 1 % of every second channel / the largest feature
    assert strong.feature_error == pytest.approx(50 * slight.feature_error, rel=0.05)
    assert strong.peak_shift > slight.peak_shift


def test_a_broken_export_is_reported_with_sequence_and_frame(dataset: Path) -> None:
    model = load_model("dcfnet")
    correct, calls = OrtBackbone(model), itertools.count()

    def drifting(patches: np.ndarray) -> np.ndarray:
        return np.roll(correct(patches), 6 * next(calls), axis=3)  # the offset grows with every call

    config, sequences = model.preset("balanced"), open_sequences(str(dataset))
    result = verify(model, NETWORK, NETWORK, {"m": drifting}, sequences, config, patches=6)["m"]
    assert len(result.objections("fp32", 0.01)) == 2
    assert {divergence.sequence for divergence in result.divergences} == {"Alpha", "Beta"}
    assert all(divergence.frame >= 1 and divergence.overlap < 0.5 for divergence in result.divergences)


def test_the_margin_is_below_the_network_and_the_control(correct: Verification) -> None:
    loss = replace(correct.comparison, low=-0.02, high=-0.001, differences=np.full(2, -0.0111))
    result = replace(correct, reference=0.7, control=0.7, auc=0.6899, comparison=loss)
    assert result.objections("int8", 0.01) == ["success AUC 0.6899 is more than 0.01 below float32 (0.7000)"]
    assert not result.objections("int8", 0.011)
    assert not replace(result, control=0.69).objections("int8", 0.001)
    assert replace(result, control=0.8).objections("int8", 0.01)  # the lower one of network and control counts


def test_an_insignificant_loss_passes_and_nan_does_not(correct: Verification) -> None:
    insignificant = replace(correct.comparison, low=-0.04, high=0.001)
    assert not replace(correct, reference=0.7, auc=0.68, comparison=insignificant).objections("int8", 0.01)
    broken = replace(correct.comparison, low=float("nan"), high=float("nan"), differences=np.full(2, np.nan))
    assert replace(correct, auc=float("nan"), comparison=broken).objections("int8", 10)


def test_a_loss_in_one_sequence_alone_passes_and_a_loss_in_several_does_not(correct: Verification) -> None:
    names = tuple("ABCDEFGHIJK")
    by_chance, always = (-0.2, 0.01, 0.0), (-0.2, -0.1, -0.05)
    for differences, starts, refused in [
        ([-0.04] + [-0.0004] * 10, by_chance, False),
        ([-0.04] + [-0.0004] * 10, always, True),  # for example, an overflow in bright frames
        ([-0.04, -0.03] + [-0.0004] * 9, by_chance, True),
        ([-0.01] * 11, by_chance, True),
    ]:
        found = np.array(differences)
        loss = Comparison(names, (), found, float(found.mean()), -0.02, -0.0001)
        result = replace(
            correct, reference=0.7, control=0.7, auc=0.7 + loss.difference, comparison=loss, worst_starts=starts
        )
        assert result.loses(0.002)
        assert bool(result.objections("fp16", 0.002)) is refused, differences
    assert (loss.worst, loss.without_worst) == ("A", pytest.approx(-0.01))


def test_float32_must_not_move_peaks(correct: Verification) -> None:
    moved = replace(correct, peak_shift=0.06)
    assert moved.objections("fp32", 1) == ["peaks move by 0.060 cells, fp32 allows 0.05"]
    assert not moved.objections("fp16", 1)


def test_an_interval_needs_two_sequences(dataset: Path) -> None:
    model = load_model("dcfnet")
    sequences = list(open_sequences(str(dataset)))
    with pytest.raises(
        SequenceError, match="sequences for verification: 1, an interval needs at least 2; add sequences"
    ):
        verify(model, NETWORK, NETWORK, {}, sequences[:1], model.preset("balanced"))
    short = [AnnotatedSequence(s.name, s.frames, s.boxes[:AHEAD]) for s in sequences]
    with pytest.raises(SequenceError, match="in two frames 5 apart"):
        verify(model, NETWORK, NETWORK, {}, short, model.preset("balanced"))


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def narrow_ranges(file: Path) -> Path:
    """Ranges as from a covered lens: far too narrow for real patches."""
    tensors = {"patches": (-0.5, 0.5), "conv0": (-1e-6, 1e-6), "relu0": (0.0, 1e-6), "conv1": (-1e-6, 1e-6)}
    Ranges("min-max", load_model("dcfnet").weights_sha256, 1, tensors).write(file)
    return file


def test_the_command_accepts_a_good_export(dataset: Path, tmp_path: Path) -> None:
    code, text = run("dcfnet", "--onnx", "--precision", "fp16", "--output", tmp_path, "--verify", dataset)
    assert code == 0, text
    assert "success AUC" in text
    assert "95% interval" in text
    assert load_model(tmp_path / "dcfnet-fp16.onnx").precision == "fp16"


def test_the_command_refuses_a_bad_one(dataset: Path, tmp_path: Path) -> None:
    ranges = narrow_ranges(tmp_path / "ranges.json")
    # With colours, the tracker would keep the target with any network.
    options = ("--ranges", ranges, "--set", "colour_share=0", "--output", tmp_path, "--verify", dataset)
    code, text = run("dcfnet", "--onnx", "--precision", "int8", *options)
    assert code == REFUSED, text
    assert "  diverged in Beta at frame " in text
    assert " is more than 0.01 below float32 (" in text
    assert run("dcfnet", "--onnx", "--precision", "int8", *options, "--margin", 1)[0] == 0


def test_an_engine_is_verified_by_its_graph_without_a_gpu(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels only for x86-64")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    options = ("dcfnet", "--trt", "--precision", "fp16", "--sm", "8.6", "--output", tmp_path)
    code, text = run(*options, "--verify", dataset)
    assert code == 0, text
    assert "built, not executed" in text
    passport = json.loads((tmp_path / "dcfnet-fp16.engine.json").read_text())["passport"]
    assert passport["verification"]["executed"] is False
    assert passport["verification"]["sequences"] == ["Alpha", "Beta"]
    assert passport["precision"] == "fp16"
    again, text = run(*options)
    assert again == 0
    assert "already built for these options" in text


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--precision", "fp8"], "no precision 'fp8'; there are fp32, fp16, int8, mixed"),
        (["--precision", "int8"], "a file of dcfnet-calibrate ranges"),
        (["--precision", "int8", "--ranges", "none.json"], "none.json"),
        (["--fold", "label"], "cannot fold label into the graph; there are mean, window"),
        (["--verify", "nowhere"], "nowhere"),
        (["--onnx", "--precision", "int8", "--ranges", "deep.json"], "deep.json: not JSON"),
        (["--trt", "--flavour", "trt"], "there are auto, tensorrt, tensorrt_rtx"),
        (["--trt", "--sm", "eight"], "--sm 'eight': must be compute capabilities, for example 8.6"),
    ],
)
def test_a_mistake_is_reported(tmp_path: Path, args: list[str], shown: str) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    args = [str(tmp_path / arg) if arg == "deep.json" else arg for arg in args]
    code, text = run("dcfnet", "--onnx", *args, "--output", tmp_path)
    assert code == 1
    assert not list(tmp_path.glob("*.onnx"))
    assert shown in text.replace("\n", " ")
    assert "Traceback" not in text


def test_too_few_sequences_are_refused_before_a_file_is_written(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(next(folder for folder in dataset.iterdir() if folder.is_dir()), tmp_path / "data" / "Alpha")
    code, text = run("dcfnet", "--onnx", "--output", tmp_path / "out", "--verify", tmp_path / "data")
    assert code == 1
    assert "sequences for verification: 1, an interval needs at least 2" in " ".join(text.split())
    assert not (tmp_path / "out").exists()


def test_onnx_files_need_no_libraries_of_engines() -> None:
    """The package works without the extra for engines; --trt reports the missing extra."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cryptography', 'platformdirs', 'tensorrt', 'tensorrt_rtx']));"
        "from dcfnet_export.cli import app; app(['dcfnet', '--trt', '--output', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, "unused"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "dcfnet-export: tensorrt or tensorrt_rtx is not installed" in done.stderr
    assert "dcfnet[rtx]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--onnx", "--sm", "8.6"], "--sm: no effect without --trt; add --trt"),
        (["--onnx", "--scales", "3", "--tf32"], "--scales, --tf32: no effect without --trt; add --trt"),
        (["--onnx", "--targets", "1"], "--targets: no effect without --trt; add --trt"),
        (["--onnx", "--flavour", "auto"], "--flavour: no effect without --trt; add --trt"),
        (["--onnx", "--optimisation-level", "0"], "--optimisation-level: no effect without --trt; add --trt"),
        (["--onnx", "--per-tensor"], "--per-tensor: no effect without --precision int8 or mixed"),
        (["--onnx", "--margin", "0"], "--margin: no effect without --verify; add --verify"),
    ],
)
def test_an_option_without_effect_is_refused(tmp_path: Path, args: list[str], shown: str) -> None:
    code, text = run(*args, "--output", tmp_path)
    assert code == 2
    assert shown in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("package", "library", "extra"),
    [
        ("dcfnet_export", "onnx", "export"),
        ("dcfnet_train", "torch", "train"),
        ("dcfnet_train.adaptation", "torch", "train"),
        ("dcfnet_calibration", "onnx", "calibration"),
    ],
)
def test_a_command_names_its_missing_extra(package: str, library: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None;"
        f"from importlib import import_module; import_module({package + '.__main__'!r}).main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{library} is not installed" in done.stderr
    assert f"dcfnet[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
