"""Whole evaluations: saving, continuing, and several processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from dcfnet.errors import ConfigError
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.evaluate import EvaluationSettings, Subject, evaluate
from dcfnet_evaluation.passes.records import Evaluation, Record, Store
from dcfnet_evaluation.scores.sheet import Sheet
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet, Python

from tests.evaluation import doubles
from tests.train.footage import make_otb_dataset, make_otb_sequence


def run(
    dataset: Path, folder: Path, contenders: Sequence[Contender], fresh: bool = False, **settings: object
) -> tuple[Evaluation, Sheet]:
    subject = Subject("otb", dataset.name, open_dataset("otb", dataset))
    return evaluate(subject, contenders, folder, EvaluationSettings(**settings), fresh=fresh)  # type: ignore[arg-type]


def same_boxes(first: Evaluation, second: Evaluation) -> bool:
    """Whether boxes and statuses are equal bit for bit."""
    return all(
        np.array_equal(first_pass.boxes, second_pass.boxes, equal_nan=True)
        and first_pass.statuses == second_pass.statuses
        for tracker, by_sequence in first.passes.items()
        for name, record in by_sequence.items()
        for first_pass, second_pass in zip(record.passes, second.passes[tracker][name].passes, strict=True)
    )


def without_times(sheet: Sheet) -> dict[str, list[object]]:
    return {name: [replace(score, fps=0.0) for score in scores] for name, scores in sheet.scores.items()}


def test_several_workers_give_the_same_boxes_and_no_times(dataset: Path, tmp_path: Path, importable: str) -> None:
    contenders = [Dcfnet(), Python("moves", f"{importable}:Wandering"), Python("fails", f"{importable}:Failing")]
    one, sheet = run(dataset, tmp_path / "one", contenders)
    two, sheet_of_two = run(dataset, tmp_path / "two", contenders, workers=2)
    assert same_boxes(one, two)
    assert without_times(sheet) == without_times(sheet_of_two)
    assert one.serial
    assert not two.serial
    assert set(sheet.timings) == {"dcfnet", "moves", "fails"}
    assert not sheet_of_two.timings
    assert sheet.scores["dcfnet"][0].fps > 0
    assert all(score.fps == 0 for score in sheet_of_two.scores["dcfnet"])
    assert sheet.timings["dcfnet"].stages["backbone"] > 0


def test_ray_gives_the_same_boxes(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    code = (
        "import sys, pathlib\n"
        "from dcfnet_evaluation.cli import app\n"
        f"app(['otb', {str(dataset)!r}, '--ray', 'local', '--no-report', '--output', {str(tmp_path / 'ray')!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    alone, _ = run(dataset, tmp_path / "one", [Dcfnet()])
    assert same_boxes(alone, Evaluation.load(tmp_path / "ray"))


def test_the_job_of_a_killed_worker_runs_again(dataset: Path, tmp_path: Path, importable: str) -> None:
    evaluation, _ = run(dataset, tmp_path / "out", [Python("deadly", f"{importable}:Deadly")], workers=2)
    assert (tmp_path / "killed").exists()
    assert set(evaluation.passes["deadly"]) == {"Alpha", "Beta"}
    assert not any(record.passes[0].failures for record in evaluation.passes["deadly"].values())


def test_a_killed_run_continues_with_the_same_result(tmp_path: Path) -> None:
    make_otb_dataset(tmp_path / "data", 15, "ABC")
    command = [sys.executable, "-m", "dcfnet_evaluation", "otb", str(tmp_path / "data"), "--no-report", "--no-memory"]
    command += ["--rates", "none", "--output"]
    uninterrupted = subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, text=True)
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    process = subprocess.Popen([*command, str(tmp_path / "cut")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = tmp_path / "cut" / "ope" / "dcfnet" / "A.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "scores.json").exists()
    kept = first.read_bytes()
    loaded = subprocess.run([*command, str(tmp_path / "cut")], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert first.read_bytes() == kept  # the sequence did not run again
    assert same_boxes(Evaluation.load(tmp_path / "whole"), Evaluation.load(tmp_path / "cut"))


def test_a_folder_contains_one_run(dataset: Path, tmp_path: Path, importable: str) -> None:
    own = [Python("own", f"{importable}:Identity")]
    first, _ = run(dataset, tmp_path / "out", own)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(SequenceError, match=r"contains another run \(limit: None in the folder, 3 now\); .*--fresh"):
        run(dataset, tmp_path / "out", own, limit=3)
    with pytest.raises(SequenceError, match=r"\(trackers: own in the folder, own, other now\)"):
        run(dataset, tmp_path / "out", [*own, Python("other", f"{importable}:Identity")])
    with pytest.raises(SequenceError, match=r"\(trackers\.own\.\w+: .*Identity in the folder, .*Wandering now\)"):
        run(dataset, tmp_path / "out", [Python("own", f"{importable}:Wandering")])
    for fresh in (False, True):
        with pytest.raises(SequenceError, match=r"notes\.txt: is a file; give the name of a folder"):
            run(dataset, tmp_path / "out" / "notes.txt", own, fresh=fresh)
    assert same_boxes(first, Evaluation.load(tmp_path / "out"))
    third, _ = run(dataset, tmp_path / "out", own, fresh=True, limit=3)
    assert len(third.passes["own"]["Alpha"].passes[0].boxes) == 3
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_two_trackers_with_one_name_are_an_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="two trackers have the name dcfnet; give"):
        run(dataset, tmp_path / "out", [Dcfnet(), Dcfnet()])


def test_real_time_passes_and_memory(dataset: Path, tmp_path: Path, importable: str) -> None:
    memory_of_this_process = np.ones(50_000_000)  # 400 MB of this process must not count for the tracker
    evaluation, sheet = run(
        dataset, tmp_path / "out", [Python("moves", f"{importable}:Wandering")], rates=(1, 30), memory=True
    )
    assert set(evaluation.streaming) == {1, 30}
    quick = evaluation.streaming[1]["moves"]["Alpha"].passes[0]  # at 1 Hz no box is late
    np.testing.assert_array_equal(quick.boxes, evaluation.passes["moves"]["Alpha"].passes[0].boxes)
    assert sheet.against_clock[1]["moves"][0].auc == sheet.scores["moves"][0].auc
    assert 20e6 < sheet.memory["moves"] < memory_of_this_process.nbytes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "vot"}, "protocol 'vot': must be one of ope, tre, sre"),
        ({"rates": (30,), "workers": 2}, "rates 30 with protocol ope: .*one worker; leave out --rates"),
        ({"rates": (30,), "protocol": "tre"}, "rates 30 with protocol tre: .*--protocol ope"),
        ({"rates": (0,)}, "rates 0: must be whole numbers of Hz above 0"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        EvaluationSettings(**settings)  # type: ignore[arg-type]


def test_an_invalid_file_of_a_run_is_an_error(dataset: Path, tmp_path: Path, importable: str) -> None:
    run(dataset, tmp_path / "out", [Python("own", f"{importable}:Identity")])
    file = tmp_path / "out" / "ope" / "own" / "Alpha.json"
    file.write_text(file.read_text()[:50])
    with pytest.raises(SequenceError, match=r"Alpha\.json"):
        Evaluation.load(tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text(json.dumps({"conditions": {}}))
    with pytest.raises(SequenceError, match=r"run\.json"):
        Evaluation.load(tmp_path / "out")
    with pytest.raises(SequenceError, match=r"contains no run\.json; create"):
        Evaluation.load(tmp_path)


def test_passes_are_read_back_bit_for_bit(tmp_path: Path, dataset: Path) -> None:
    from dcfnet_evaluation.passes import run_pass

    sequence = open_dataset("otb", dataset)[0]
    result = run_pass(doubles.Failing(), sequence)
    store = Store(tmp_path)
    store.save("ope", "t", "s", Record((result, result), serial=True))
    loaded = store.load("ope", "t", "s")
    assert loaded.serial
    for name in ("boxes", "psr", "seconds"):
        np.testing.assert_array_equal(getattr(loaded.passes[1], name), getattr(result, name))
    assert loaded.passes[1].failures == result.failures


def test_published_boxes_are_scored_with_the_others(dataset: Path, tmp_path: Path, importable: str) -> None:
    """A result file with the true boxes is a perfect tracker, without times and without real-time scores."""
    import shutil

    for name in ("Alpha", "Beta"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        shutil.copy(dataset / name / "groundtruth_rect.txt", tmp_path / "raw" / f"{name}.txt")
    subject = Subject("otb", dataset.name, open_dataset("otb", dataset))
    own = [Python("own", f"{importable}:Identity")]
    evaluation, sheet = evaluate(
        subject, own, tmp_path / "out", EvaluationSettings(rates=(30,)), {"raw": tmp_path / "raw"}
    )
    assert [score.auc for score in sheet.scores["raw"]] == pytest.approx([20 / 21] * 2)
    assert sheet.timings["raw"].updates == 0
    assert set(evaluation.streaming[30]) == {"own"}
    with pytest.raises(SequenceError, match="without --limit"):
        evaluate(subject, own, tmp_path / "other", EvaluationSettings(limit=3), {"raw": tmp_path / "raw"})


def test_an_unreadable_frame_does_not_stop_other_sequences(tmp_path: Path, importable: str) -> None:
    make_otb_dataset(tmp_path / "data", 4, "ABC")
    (tmp_path / "data" / "A" / "img" / "0003.png").write_bytes(b"")
    own = [Python("own", f"{importable}:Identity")]
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        with pytest.raises(SequenceError, match=r"0003\.png: not a readable image"):
            run(tmp_path / "data", folder, own, workers=workers)
        assert sorted(file.name for file in folder.glob("ope/own/*")) == ["B.json", "C.json"]
        assert not (folder / "scores.json").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_workers_and_keeps_finished_sequences(tmp_path: Path, stop: signal.Signals) -> None:
    make_otb_sequence(tmp_path / "data" / "S00", length=3)
    for number in range(1, 9):
        (tmp_path / "data" / f"S{number:02d}").mkdir()
        for name in ("img", "groundtruth_rect.txt"):
            (tmp_path / "data" / f"S{number:02d}" / name).symlink_to(tmp_path / "data" / "S00" / name)
    (tmp_path / "slow.py").write_text(
        "import time\n\nclass Slow:\n"
        "    def init(self, frame, box):\n        self.box = box\n"
        "    def update(self, frame):\n        time.sleep(1.5)\n        return self.box\n"
    )
    command = [sys.executable, "-m", "dcfnet_evaluation", "otb", "data", "--no-report", "--workers", "2"]
    command += ["--add", "slow=slow:Slow", "--output", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "out" / "ope" / "slow"
    deadline = time.monotonic() + 120
    while not list(kept.glob("*.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(stop)
    assert process.wait(timeout=60) != 0
    _, alive = psutil.wait_procs(workers, timeout=9)  # less than the remaining work needs
    assert not alive
    assert 1 <= len(list(kept.glob("*.json"))) < 9


def test_another_dataset_with_the_same_name_is_another_run(tmp_path: Path, importable: str) -> None:
    for seed in (0, 1):
        make_otb_sequence(tmp_path / str(seed) / "otb" / "A", length=4, seed=seed)
    own = [Python("own", f"{importable}:Identity")]
    run(tmp_path / "0" / "otb", tmp_path / "out", own)
    with pytest.raises(SequenceError, match="content: "):
        run(tmp_path / "1" / "otb", tmp_path / "out", own)


def test_a_tracker_with_changed_source_is_another_run(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "mine_changing.py"
    file.write_text(Path(doubles.__file__).read_text())
    own = [Python("own", "mine_changing:Identity")]
    run(dataset, tmp_path / "out", own)
    file.write_text(file.read_text().replace("return self.box", "return (0, 0, 5, 5)"))
    with pytest.raises(SequenceError, match=r"trackers\.own\.source: \w{8} in the folder, \w{8} now"):
        run(dataset, tmp_path / "out", own)


def test_a_new_run_deletes_old_scores(dataset: Path, tmp_path: Path, importable: str) -> None:
    run(dataset, tmp_path / "out", [Python("own", f"{importable}:Identity")])
    with pytest.raises(ConfigError, match="no licence"):
        run(dataset, tmp_path / "out", [Python("own", f"{importable}:NeverOpens")], fresh=True)
    assert not (tmp_path / "out" / "scores.json").exists()
    assert not list((tmp_path / "out").glob("ope/own/*"))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "..", "a\\b"])
def test_a_name_that_is_not_a_folder_name_is_an_error(
    dataset: Path, tmp_path: Path, importable: str, name: str
) -> None:
    with pytest.raises(SequenceError, match="a name must not be empty"):
        run(dataset, tmp_path / "out", [Python(name, f"{importable}:Identity")])
    assert not (tmp_path / "out").exists()


def test_a_truncated_record_runs_again_and_fresh_replaces_a_broken_run(
    dataset: Path, tmp_path: Path, importable: str
) -> None:
    own = [Python("own", f"{importable}:Identity")]
    uninterrupted, _ = run(dataset, tmp_path / "out", own)
    file = tmp_path / "out" / "ope" / "own" / "Alpha.json"
    file.write_text(file.read_text()[:60])
    loaded, _ = run(dataset, tmp_path / "out", own)
    assert same_boxes(uninterrupted, loaded)
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(SequenceError, match=r"run\.json.*--fresh"):
        run(dataset, tmp_path / "out", own)
    run(dataset, tmp_path / "out", own, fresh=True)
