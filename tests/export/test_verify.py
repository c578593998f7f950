"""The gate: what tracks as the network does passes, what does not is refused, and where they part is told."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.model import load_model
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_export.cli import REFUSED, app
from dcfnet_export.files import load
from dcfnet_export.ranges import Ranges
from dcfnet_export.verify import AHEAD, Verdict, verify
from dcfnet_train.validation import TorchBackbone
from dcfnet_train.videos import open_sequences
from typer.testing import CliRunner

from tests.train.footage import make_otb_sequence

NETWORK = TorchBackbone(load(None)[0].backbone(padding=True, stride=2))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("otb")
    for seed, name in enumerate(["Alpha", "Beta"]):
        make_otb_sequence(root / name, length=16, seed=seed)
    return root


def judged(dataset: Path, weaken: float = 0.0) -> Verdict:
    """The shipped model against its checkpoint, its features of every second channel multiplied by 1 - weaken."""
    model = load_model()
    honest, factor = OrtBackbone(model), np.where(np.arange(32) % 2, 1 - weaken, 1)[:, None, None]

    def backbone(patches: np.ndarray) -> np.ndarray:
        return (honest(patches) * factor).astype(np.float32)

    config = model.preset("balanced")
    return verify(model, NETWORK, honest, {"m": backbone}, open_sequences(str(dataset)), config, patches=30)["m"]


def test_the_shipped_file_is_its_checkpoint(dataset: Path) -> None:
    verdict = judged(dataset)
    assert verdict.patches >= 30
    assert verdict.patches % 3 == 0
    assert verdict.feature_error < 1e-4
    assert verdict.peak_shift < 0.05
    assert verdict.partings == ()
    assert not verdict.objections("fp32", 0.002)
    assert verdict.reference == pytest.approx(verdict.auc, abs=0.002)


def test_what_is_measured_grows_with_what_is_wrong(dataset: Path) -> None:
    slight, strong = judged(dataset, 0.01), judged(dataset, 0.5)
    assert 0.003 < slight.feature_error < 0.0101  # a hundredth of every second channel, beside the largest feature
    assert strong.feature_error == pytest.approx(50 * slight.feature_error, rel=0.05)
    assert strong.peak_shift > slight.peak_shift


def test_a_broken_export_is_told_with_sequence_and_frame(dataset: Path) -> None:
    model = load_model()
    honest, calls = OrtBackbone(model), itertools.count()

    def running_away(patches: np.ndarray) -> np.ndarray:
        return np.roll(honest(patches), 6 * next(calls), axis=3)  # further with every look

    config, sequences = model.preset("balanced"), open_sequences(str(dataset))
    verdict = verify(model, NETWORK, NETWORK, {"m": running_away}, sequences, config, patches=6)["m"]
    assert len(verdict.objections("fp32", 0.01)) == 2
    assert {parting.sequence for parting in verdict.partings} == {"Alpha", "Beta"}
    assert all(parting.frame >= 1 and parting.overlap < 0.5 for parting in verdict.partings)


def test_the_margin_is_beyond_what_float32_loses_by_another_engine(dataset: Path) -> None:
    honest = judged(dataset)
    lost = replace(honest.comparison, low=-0.02, high=-0.001)
    verdict = replace(honest, reference=0.7, control=0.7, auc=0.6899, comparison=lost)
    assert verdict.objections("int8", 0.01) == ["it loses more than 0.01 of success AUC"]
    assert not verdict.objections("int8", 0.011)
    assert not replace(verdict, control=0.69).objections("int8", 0.001)
    assert replace(verdict, control=0.8).objections("int8", 0.01)  # a lucky control demands nothing


def test_a_loss_that_luck_may_have_made_is_none_and_one_that_is_no_number_is(dataset: Path) -> None:
    honest = judged(dataset)
    lucky = replace(honest.comparison, low=-0.04, high=0.001)
    assert not replace(honest, reference=0.7, auc=0.68, comparison=lucky).objections("int8", 0.01)
    broken = replace(honest.comparison, low=float("nan"), high=float("nan"))
    assert replace(honest, auc=float("nan"), comparison=broken).objections("int8", 10)


def test_float32_must_not_move_peaks(dataset: Path) -> None:
    moved = replace(judged(dataset), peak_shift=0.06)
    assert moved.objections("fp32", 1) == ["it moves peaks by 0.060 cells, float32 must not by more than 0.05"]
    assert not moved.objections("fp16", 1)


def test_an_interval_needs_two_sequences(dataset: Path) -> None:
    model = load_model()
    sequences = list(open_sequences(str(dataset)))
    with pytest.raises(SequenceError, match="1 sequence to verify on"):
        verify(model, NETWORK, NETWORK, {}, sequences[:1], model.preset("balanced"))
    short = [AnnotatedSequence(s.name, s.frames, s.boxes[:AHEAD]) for s in sequences]
    with pytest.raises(SequenceError, match="in two frames 5 apart"):
        verify(model, NETWORK, NETWORK, {}, short, model.preset("balanced"))


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def narrow_ranges(file: Path) -> Path:
    """Ranges that a person might take from a covered lens: everything is cut off that matters."""
    tensors = {"patches": (-0.5, 0.5), "conv0": (-1e-6, 1e-6), "relu0": (0.0, 1e-6), "conv1": (-1e-6, 1e-6)}
    Ranges("min-max", load_model().weights_sha256, 1, tensors).write(file)
    return file


def test_the_command_lets_a_good_export_pass(dataset: Path, tmp_path: Path) -> None:
    code, text = run("--onnx", "--precision", "fp16", "--output", tmp_path, "--verify", dataset)
    assert code == 0, text
    assert "success AUC" in text
    assert "95% interval" in text
    assert load_model(tmp_path / "dcfnet-fp16.onnx").precision == "fp16"


def test_the_command_refuses_a_bad_one(dataset: Path, tmp_path: Path) -> None:
    ranges = narrow_ranges(tmp_path / "ranges.json")
    # By its colours the target would be held on to with any network.
    given = ("--ranges", ranges, "--set", "colour_share=0", "--output", tmp_path, "--verify", dataset)
    code, text = run("--onnx", "--precision", "int8", *given)
    assert code == REFUSED, text
    assert "  went apart in Beta, frame " in text
    assert "refused: it loses more than 0.01 of success AUC" in text
    assert run("--onnx", "--precision", "int8", *given, "--margin", 1)[0] == 0


def test_an_engine_is_verified_by_its_graph_where_no_gpu_is(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 alone")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    code, text = run("--trt", "--precision", "fp16", "--sm", "8.6", "--output", tmp_path, "--verify", dataset)
    assert code == 0, text
    assert "built, not executed" in text
    passport = json.loads((tmp_path / "dcfnet-fp16.engine.json").read_text())["passport"]
    assert passport["verification"]["executed"] is False
    assert passport["verification"]["sequences"] == ["Alpha", "Beta"]
    assert passport["precision"] == "fp16"
    again, text = run("--trt", "--precision", "fp16", "--sm", "8.6", "--output", tmp_path)
    assert again == 0
    assert "stands already" in text


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--precision", "fp8"], "no precision 'fp8'; there are fp32, fp16, int8, mixed"),
        (["--precision", "int8"], "dcfnet-calibrate ranges makes"),
        (["--precision", "int8", "--ranges", "none.json"], "none.json"),
        (["--fold", "label"], "nothing called label can be folded in"),
        (["--verify", "nowhere"], "nowhere"),
        (["--onnx", "--precision", "int8", "--ranges", "deep.json"], "deep.json: not JSON"),
        (["--trt", "--flavour", "trt"], "there are auto, tensorrt, tensorrt_rtx"),
        (["--trt", "--sm", "eight"], "compute capabilities such as 8.6,8.9"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, args: list[str], shown: str) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    args = [str(tmp_path / arg) if arg == "deep.json" else arg for arg in args]
    code, text = run("--onnx", *args, "--output", tmp_path)
    assert code == 1
    assert not list(tmp_path.glob("*.onnx"))
    assert shown in text.replace("\n", " ")
    assert "Traceback" not in text


def test_onnx_files_need_nothing_that_engines_need() -> None:
    """Who has no extra for engines exports, converts and verifies; --trt then says which extra is missing."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cryptography', 'platformdirs', 'tensorrt', 'tensorrt_rtx']));"
        "from dcfnet_export.cli import app; app(['--trt', '--output', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, "unused"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "dcfnet-export: tensorrt or tensorrt_rtx is not installed" in done.stderr
    assert "dcfnet[rtx]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--onnx", "--sm", "8.6"], "--sm: does nothing without --trt"),
        (["--onnx", "--margin", "1"], "without --verify"),
    ],
)
def test_an_option_without_effect_is_told(tmp_path: Path, args: list[str], shown: str) -> None:
    code, text = run(*args, "--output", tmp_path)
    assert code == 2
    assert shown in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("package", "library", "extra"),
    [
        ("dcfnet_export", "torch", "export"),
        ("dcfnet_train", "torch", "train"),
        ("dcfnet_train.adaptation", "torch", "train"),
        ("dcfnet_calibration", "onnx", "calibration"),
    ],
)
def test_a_command_whose_extra_is_missing_names_it(package: str, library: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None;"
        f"from importlib import import_module; import_module({package + '.__main__'!r}).main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{library} is not installed" in done.stderr
    assert f"dcfnet[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
