"""The dcfnet-eval command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet_evaluation.cli import app
from dcfnet_evaluation.datasets import LAYOUTS
from dcfnet_evaluation.passes.records import Evaluation
from dcfnet_evaluation.scores.sheet import read_sheet, write_sheet
from typer.testing import CliRunner

from tests.evaluation.test_scores import sheet_of

QUICK = ("--no-report", "--no-memory", "--rates", "none")


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_the_command_prints_and_writes_scores(dataset: Path, tmp_path: Path) -> None:
    code, text = run("otb", dataset, "--output", tmp_path, "--limit", 5, *QUICK)
    assert code == 0, text
    scores = read_sheet(tmp_path).tracker()
    assert [s.sequence for s in scores] == ["Alpha", "Beta"]
    assert all(s.frames == 5 and s.auc > 0.7 for s in scores)
    for name in ("Alpha", "Beta", "mean", str(tmp_path / "scores.json")):
        assert name in text.replace("\n", "")


def test_all_options_of_the_readme_work_together(dataset: Path, tmp_path: Path, importable: str) -> None:
    """Report, memory, camera rates, a changed constant, a user's tracker, and MIL, which every OpenCV wheel has."""
    code, text = run(
        *("otb", dataset, "--set", "scales=1", "--peer", "MIL", "--rates", "30", "--limit", 6, "--output", tmp_path),
        *("--add", f"still={importable}:Identity"),
    )
    assert code == 0, text
    sheet = read_sheet(tmp_path)
    assert list(sheet.scores) == ["dcfnet", "MIL", "still"]
    assert sheet.trackers["dcfnet"]["config"]["scales"] == 1
    assert set(sheet.against_clock) == {30}
    assert min(sheet.memory.values()) > 20e6
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in ("dcfnet", "MIL", "still", "Alpha", "Beta", "0.952"))


def test_a_failing_tracker_is_reported_with_exit_code_3(dataset: Path, tmp_path: Path) -> None:
    added = ("--add", "bad=tests.evaluation.doubles:Failing", "--add", "dead=tests.evaluation.doubles:NeverStarts")
    code, text = run("otb", dataset, *added, "--output", tmp_path, *QUICK)
    assert code == 3
    assert "bad: frames without a usable box: Alpha (10), Beta (10)" in text
    assert "dead: frames without a usable box: Alpha (12), Beta (12)" in text
    sheet = read_sheet(tmp_path)
    assert all(score.auc > 0.7 for score in sheet.tracker("dcfnet"))
    assert all(score.failures == 10 for score in sheet.tracker("bad"))
    failed = Evaluation.load(tmp_path).passes["bad"]["Beta"].passes[0]
    assert np.isfinite(failed.boxes).all(axis=1).sum() == 2


@pytest.mark.parametrize("protocol", ["ope", "tre", "sre"])
def test_every_protocol_runs(dataset: Path, tmp_path: Path, protocol: str) -> None:
    args = ["otb", dataset, "--protocol", protocol, "--sequences", "Alpha", "--limit", 3, "--output", tmp_path]
    code, text = run(*args, *QUICK)
    assert code == 0, text
    (score,) = read_sheet(tmp_path).tracker()
    assert score.frames == 3 * {"ope": 1, "tre": 1, "sre": 12}[protocol]
    assert score.auc > 0.6


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--protocol", "vot"], "one of ope, tre, sre"),
        (["--sequences", "Gamma"], "no sequence Gamma; choose from Alpha, Beta"),
        (["--subset", "otb2017"], "otb2013"),
        (["--peer", "TLD"], "TLD"),
        (["--add", "mine"], "NAME=package.module:Class"),
        (["--add", "mine=no.such:Thing"], "package.module:Class"),
        (["--rates", "fast"], "whole numbers"),
        (["--rates", "30", "--workers", "2"], "leave out --rates"),
        (["--model", "none.onnx"], "none.onnx: no such file"),
        (["--set", "scales=2"], "odd"),
        (["--config", "paper", "--preset", "fast"], "--preset fast and --config paper: give one of them"),
        (["--peer-models", "OUT"], "is for trackers of OpenCV; give --peers or --peer NAMES"),
        (["--published", "OUT.csv", "--no-report"], "--published with --no-report: the report shows these scores"),
        (["--config", "quick"], "--config quick: must be one of paper, released, default"),
    ],
)
def test_an_invalid_option_gives_one_line_and_exit_code_1(
    dataset: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    (tmp_path / "scores.csv").write_text("tracker,sequence,auc,prec20\nMine,Alpha,0.5,0.5\n")
    given = [arg.replace("OUT.csv", str(tmp_path / "scores.csv")) for arg in args]
    code, text = run("otb", dataset, *given, "--output", tmp_path / "out")
    assert code == 1
    assert message in " ".join(text.split())
    assert text.count("\n") <= 3
    assert not (tmp_path / "out").exists()


def test_shipped_models_are_compared_by_their_names(dataset: Path, tmp_path: Path) -> None:
    models = ("--model", "deep", "--model", "dcfnet")
    code, text = run("otb", dataset, *models, "--limit", 4, "--output", tmp_path, *QUICK)
    assert code == 0, text
    weights = {name: spec["weights"] for name, spec in read_sheet(tmp_path).trackers.items()}
    assert weights == {name: load_model(name).weights_sha256[:12] for name in ("deep", "dcfnet")}


def test_a_missing_folder_gives_one_line_and_exit_code_1(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        code, text = run(layout, tmp_path / "none")
        assert code == 1
        assert "none" in text
        assert text.count("\n") == 1


def test_an_invalid_image_is_an_error_and_finished_sequences_are_kept(dataset: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "data" / "Beta" / "img" / "0004.png").write_bytes(b"no image")
    code, text = run("otb", tmp_path / "data", "--output", tmp_path / "out", *QUICK)
    assert code == 1
    assert "0004.png: not a readable image" in text.replace("\n", "")
    assert (tmp_path / "out" / "ope" / "dcfnet" / "Alpha.json").is_file()


def test_compare_gives_exit_code_2_if_b_is_worse(tmp_path: Path) -> None:
    write_sheet(sheet_of(ours=[0.5, 0.6, 0.7, 0.4], other=[0.1, 0.2, 0.3, 0.1]), tmp_path / "a.json")
    write_sheet(sheet_of(ours=[0.4, 0.5, 0.6, 0.3], other=[0.2, 0.3, 0.4, 0.2]), tmp_path / "b.json")
    code, text = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 2
    assert "-0.1000" in text
    assert "B is worse" in text
    assert run("compare", tmp_path / "b.json", tmp_path / "a.json")[0] == 0
    assert run("compare", tmp_path / "a.json", tmp_path / "b.json", "--tracker", "other")[0] == 0
    assert run("compare", tmp_path / "a.json", tmp_path / "none.json")[0] == 1
    write_sheet(sheet_of(ours=[0.5, 0.6]), tmp_path / "two.json")
    assert "only A or only B has them: s2, s3" in run("compare", tmp_path / "two.json", tmp_path / "a.json")[1]


def test_compare_needs_equal_settings(tmp_path: Path) -> None:
    write_sheet(sheet_of(ours=[0.5, 0.6]), tmp_path / "a.json")
    write_sheet(sheet_of(limit=100, ours=[0.5, 0.6]), tmp_path / "b.json")
    code, text = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 1
    assert "limit None in A, 100 in B; run both with the same --protocol and --limit" in " ".join(text.split())


def test_the_ablation_has_the_rows_and_columns_of_the_paper(dataset: Path, tmp_path: Path) -> None:
    code, text = run("ablation", dataset, "--scales", "1,3", "--limit", 4, "--output", tmp_path)
    assert code == 0, text
    heads = [cell for cell in next(line for line in text.splitlines() if "network" in line).split() if cell != "┃"]
    assert heads == ["network", "S", "OP@0.5", "DP@20", "CLE", "px", "AUC", "FPS"]
    sheet = read_sheet(tmp_path)
    rows = [line.strip("│ ").split("│") for line in text.splitlines() if re.match("│ dcfnet +│", line)]
    assert [row[1].strip() for row in rows] == ["1", "3"]
    for row, scores in zip(rows, sheet.scores.values(), strict=True):
        for cell, key in zip(row[2:6], ("overlap_precision", "precision", "centre_error", "auc"), strict=True):
            mean = np.mean([getattr(score, key) for score in scores])
            assert float(cell) == pytest.approx(mean, abs=0.051 if key == "centre_error" else 0.00051)
    assert {name: spec["config"]["scales"] for name, spec in sheet.trackers.items()} == {
        "dcfnet S=1": 1,
        "dcfnet S=3": 3,
    }
    code, text = run("ablation", dataset, "--scales", "1,3", "--limit", 4, "--output", tmp_path / "two", "--workers", 2)
    assert code == 0, text
    assert all(
        line.strip("│ ").endswith("-") for line in text.splitlines() if re.match("│ dcfnet +│", line)
    )  # no times
    code, text = run("ablation", dataset, "--scales", "2", "--output", tmp_path / "even")
    assert code == 1
    assert "odd" in text


def test_scores_in_the_repository_can_be_read() -> None:
    results = Path(__file__).parents[2] / "benchmarks" / "results"
    sheets = [file for file in sorted(results.rglob("*.json")) if "scores" in json.loads(file.read_text())]
    assert sheets
    for file in sheets:
        assert 0 < read_sheet(file).tracker()[0].auc < 1


def test_got10k_scores_and_submission_archive(tmp_path: Path) -> None:
    import zipfile

    from tests.train.footage import make_otb_sequence

    for number in (1, 2):
        folder = tmp_path / "val" / f"GOT-10k_Val_00000{number}"
        make_otb_sequence(tmp_path / "made" / str(number), length=6, seed=number)
        (tmp_path / "made" / str(number) / "img").rename(tmp_path / "images")
        folder.parent.mkdir(exist_ok=True)
        (tmp_path / "images").rename(folder)
        truth = tmp_path / "made" / str(number) / "groundtruth_rect.txt"
        truth.rename(folder / "groundtruth.txt")
    archive = tmp_path / "submission.zip"
    code, text = run("got10k", tmp_path, "--subset", "val", "--submission", archive, "--output", tmp_path / "o", *QUICK)
    assert code == 0, text
    assert "dcfnet: AO 0." in text
    with zipfile.ZipFile(archive) as opened:
        assert "GOT-10k_Val_000002/GOT-10k_Val_000002_001.txt" in opened.namelist()
        first = opened.read("GOT-10k_Val_000001/GOT-10k_Val_000001_001.txt").decode().splitlines()[0]
    truth_row = (tmp_path / "val" / "GOT-10k_Val_000001" / "groundtruth.txt").read_text().splitlines()[0]
    assert [float(v) for v in first.split(",")] == pytest.approx([float(v) for v in truth_row.split(",")], abs=1e-3)


def test_the_report_shows_published_results_and_scores(dataset: Path, tmp_path: Path) -> None:
    import shutil

    (tmp_path / "raw").mkdir()
    for name in ("Alpha", "Beta"):
        shutil.copy(dataset / name / "groundtruth_rect.txt", tmp_path / "raw" / f"{name}.txt")
    (tmp_path / "table.csv").write_text("tracker,sequence,auc,prec20\nOLD,alpha,0.4,0.6\nOLD,beta,0.2,0.4\n")
    results = ("--results", f"perfect={tmp_path / 'raw'}", "--published", tmp_path / "table.csv")
    code, text = run("otb", dataset, *results, "--no-memory", "--rates", "none", "--output", tmp_path / "out")
    assert code == 0, text
    assert read_sheet(tmp_path / "out").tracker("perfect")[0].auc == pytest.approx(20 / 21)
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(word in page for word in ("perfect", "OLD", "0.300", "0.500"))
    (tmp_path / "raw" / "Beta.txt").write_text("1,2,3,4\n")
    code, text = run("otb", dataset, *results, "--output", tmp_path / "bad")
    assert code == 1
    assert "Beta.txt: 1 boxes" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--submission", "x.zip"], "--submission: the layout is otb; it must be got10k"),
        (["--published", "none.csv"], "none.csv: cannot be read"),
    ],
)
def test_output_errors_are_found_before_any_tracker_runs(
    dataset: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    code, text = run("otb", dataset, *args, "--output", tmp_path / "out")
    assert code == 1
    assert message in " ".join(text.split())
    assert not (tmp_path / "out").exists()


def test_unpublished_true_boxes_are_not_scored(tmp_path: Path) -> None:
    from tests.train.footage import make_otb_sequence

    make_otb_sequence(tmp_path / "made", length=4)
    folder = tmp_path / "test" / "GOT-10k_Test_000001"
    folder.parent.mkdir()
    (tmp_path / "made" / "img").rename(folder)
    first = (tmp_path / "made" / "groundtruth_rect.txt").read_text().splitlines()[0]
    (folder / "groundtruth.txt").write_text(first + "\n")
    archive = tmp_path / "s.zip"
    code, text = run(
        "got10k", tmp_path, "--subset", "test", "--submission", archive, "--output", tmp_path / "out", "--no-memory"
    )
    assert code == 0, text
    assert "nothing is scored" in text
    assert "0.952" not in text
    assert archive.is_file()
    code, text = run("got10k", tmp_path, "--subset", "test", "--submission", archive, "--limit", 2)
    assert code == 1
    assert "all frames of all sequences" in text


def test_names_are_not_read_as_markup(dataset: Path, tmp_path: Path) -> None:
    code, text = run("otb", dataset, "--add", "my[v2]=tests.evaluation.doubles:Identity", "--output", tmp_path, *QUICK)
    assert code == 0, text
    assert "my[v2]" in text


def test_compare_needs_all_sequences_of_a_and_valid_files(tmp_path: Path) -> None:
    write_sheet(sheet_of(ours=[0.5, 0.6, 0.7]), tmp_path / "a.json")
    write_sheet(sheet_of(ours=[0.5, 0.6]), tmp_path / "b.json")
    code, text = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 1
    assert "has no scores for s2" in " ".join(text.split())
    for key in ("run", "scores"):
        data = json.loads((tmp_path / "a.json").read_text())
        (tmp_path / "bad.json").write_text(json.dumps({**data, key: {}}))
        code, text = run("compare", tmp_path / "a.json", tmp_path / "bad.json")
        assert code == 1
        assert "bad.json" in text.replace("\n", "")


def test_a_missing_report_library_is_found_before_any_tracker_runs(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dcfnet_evaluation.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, text = run("otb", dataset, "--output", tmp_path / "out")
    assert code == 1
    assert "jinja2 is not installed; install it with: pip install 'dcfnet[evaluation]'" in text
    assert not (tmp_path / "out").exists()
    assert run("otb", dataset, "--output", tmp_path / "out", "--limit", 2, *QUICK)[0] == 0


def test_published_boxes_have_no_real_time_scores(dataset: Path, tmp_path: Path) -> None:
    """Published boxes have no times, so they have no real-time scores, and the report leaves these out."""
    import shutil

    (tmp_path / "raw").mkdir()
    for name in ("Alpha", "Beta"):
        shutil.copy(dataset / name / "groundtruth_rect.txt", tmp_path / "raw" / f"{name}.txt")
    options = ("--results", f"perfect={tmp_path / 'raw'}", "--rates", "30", "--no-memory")
    code, text = run("otb", dataset, *options, "--output", tmp_path / "out")
    assert code == 0, text
    assert set(read_sheet(tmp_path / "out").against_clock[30]) == {"dcfnet"}
    assert "perfect" in (tmp_path / "out" / "report.html").read_text()
