"""benchmarks/gpu_report.py on the stand-in, so that it does not fail when a GPU is available."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from dcfnet_evaluation.rendered import render_clip

from tests.scripts import load_script


@pytest.fixture
def script() -> ModuleType:
    return load_script("gpu_report")


@pytest.fixture
def clocked(fake: Any) -> Any:
    """The stand-in, with the properties of a GPU."""
    fake.__version__ = "14"
    properties = {"name": b"Stand-in", "totalGlobalMem": 1 << 30}
    fake.cuda.runtime.getDeviceProperties = lambda number: properties
    return fake


def test_updates_are_timed_for_every_load(script: ModuleType, clocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = importlib.import_module("dcfnet_evaluation.bench.gpu")
    monkeypatch.setattr(script, "STREAMS", (2, 3))
    clip = render_clip(length=4, width=160, height=120, occluder=False)
    launch_counts: list[int] = []
    real = bench.timed

    def counting(*arguments: Any) -> Any:
        before = len(clocked.state.launched)
        times = real(*arguments)
        launch_counts.append(len(clocked.state.launched) - before)
        return times

    monkeypatch.setattr(bench, "timed", counting)
    rows = script.times(clip, updates=1, warm_up=1, targets=(1, 2))
    assert [row for row in rows if "error" in row] == []
    loads = [(row["targets"], row["streams"], row["memory"], row.get("patches_per_call")) for row in rows]
    assert loads[:3] == [(1, 1, "host", None), (1, 1, "pinned", None), (1, 1, "device", None)]
    assert [load[0] for load in loads[3:6]] == [2, 2, 2]
    assert loads[6:8] == [(1, 2, "host", None), (1, 3, "host", None)]
    assert [(row["targets"], row["captures"]) for row in rows[8:10]] == [(1, False), (2, False)]
    assert [(row["targets"], row["patches"]) for row in rows[10:12]] == [(1, "float32"), (2, "float32")]
    assert loads[12:] == [(1, 1, "device", 16), (1, 1, "device", 64), (1, 1, "device", 256)]
    assert [count > 0 for count in launch_counts] == [row.get("captures", True) for row in rows]
    assert rows[3]["target_frames_per_ms"] == 1.0
    assert rows[3]["ms"]["device"] == {"p50": 2.0, "p90": 2.0, "p99": 2.0}
    assert rows[3]["ms"]["host"]["p50"] > 0


def test_an_engine_that_is_not_usable_is_a_row_with_an_error(
    script: ModuleType, clocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime has no CUDA provider in this test, and TensorRT is hidden."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    clip = render_clip(length=4, width=160, height=120, occluder=False)
    rows = script.times_of_engines(clip, updates=1, warm_up=1, targets=(1, 2))
    assert [(row["engine"], row.get("targets"), row.get("precision")) for row in rows] == [
        *(("onnxruntime", 1, None), ("onnxruntime", 2, None), ("tensorrt", None, "fp32"), ("tensorrt", None, "fp16")),
    ]
    assert "CUDAExecutionProvider" in rows[0]["error"]
    assert "tensorrt" in rows[2]["error"]


def test_without_tensorrt_the_error_names_the_extra_that_installs_it() -> None:
    """TensorRT-RTX has no wheel for some systems; the packages that come with it are missing there as well."""
    program = (
        "import sys\n"
        "for name in ('tensorrt', 'tensorrt_rtx', 'cryptography', 'platformdirs'): sys.modules[name] = None\n"
        "import tests.runtime.cuda.test_engines\n"
        "from tests.scripts import load_script\n"
        "from dcfnet.errors import DcfnetError\n"
        "from pathlib import Path\n"
        "try: load_script('gpu_report').build('fp32', Path('none.engine'))\n"
        "except DcfnetError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "dcfnet[rtx]" in done.stdout


def row(targets: int, memory: str, host: tuple[float, float], rate: float, **more: Any) -> dict[str, Any]:
    """A row of the report. host: p50 and p99, ms. rate: target-frames per ms."""
    times = {"host": dict(zip(("p50", "p99"), host, strict=True))}
    return {"targets": targets, "streams": 1, "memory": memory, "ms": times, "target_frames_per_ms": rate, **more}


def test_requirements_are_checked_with_the_default_settings(script: ModuleType) -> None:
    """Rows of other settings and of failed loads are not used."""
    rows = [
        *(row(1, "pinned", (0.15, 0.5), 6.0), row(64, "device", (2.5, 3.0), 25.0), row(256, "device", (9, 9), 24.0)),
        *(row(64, "device", (5.0, 6.0), 12.0, captures=False), {"targets": 1, "streams": 1, "error": "no memory"}),
    ]
    bars = script.bars(rows, True)
    assert [(bar["found"], bar["met"]) for bar in bars] == [
        *((0.15, True), (0.5, False), (25.0, True), (24.0, False), (True, True))
    ]
    assert bars[3]["asked"] == 25.0  # no fewer than with 64 targets


def test_a_requirement_that_was_not_measured_is_not_met(script: ModuleType) -> None:
    bars = script.bars([], None)
    assert len(bars) == 5
    assert not any(bar["met"] for bar in bars)
    assert all(bar["found"] is None for bar in bars)


def test_the_sanitizer_has_no_result_if_it_is_missing_and_fails_if_a_tool_fails(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    assert script.sanitized() is None
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(script.shutil, "which", lambda name: f"/opt/{name}")

    def run(command: Sequence[str], **_: Any) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, int("racecheck" in command))

    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.sanitized() is False
    assert commands[0][0] == "compute-sanitizer"
    assert script.SMALL in commands[0]


def test_the_report_describes_the_machine(script: ModuleType, clocked: Any) -> None:
    machine = script.machine()
    assert (machine["device"], machine["compute_capability"], machine["cuda"]) == ("Stand-in", "8.6", "13.2")


def test_a_missing_gpu_is_an_error_and_writes_no_file(
    script: ModuleType,
    clocked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clocked.cuda.runtime.getDeviceCount = lambda: 0
    monkeypatch.setattr(sys, "argv", ["gpu_report.py", "--output", str(tmp_path)])
    assert script.main() == 1
    message = "gpu_report: there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'"
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("outcome", "status"), [("passed", 0), ("failed", 1), ("skipped", 1)])
def test_the_exit_code_depends_on_the_outcome_of_the_tests(
    script: ModuleType, clocked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, status: int
) -> None:
    """A run in which every test was skipped proves nothing, so it fails."""
    element = {"passed": "", "failed": "<failure/>", "skipped": "<skipped/>"}[outcome]

    def run(command: Sequence[str], **_: Any) -> Any:
        file = [part.partition("=")[2] for part in command if part.startswith("--junitxml=")]
        if file:
            Path(file[0]).write_text(
                f'<testsuites><testsuite><testcase name="t">{element}</testcase></testsuite></testsuites>'
            )
        return subprocess.CompletedProcess(command, 0, stdout="abc")

    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr(script, "times", lambda clip: [])
    monkeypatch.setattr(script, "times_of_engines", lambda clip: [])
    monkeypatch.setattr(sys, "argv", ["gpu_report.py", "--output", str(tmp_path)])
    assert script.main() == status
    (file,) = tmp_path.iterdir()
    report = json.loads(file.read_text())
    assert report["commit"] == "abc+changes"
    assert file.name.startswith("gpu_20")
    assert list(script.parts()) == [part for part in report if part in script.parts()]


def run_parts(script: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, parts: str) -> int:
    """Runs the script. Returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["gpu_report.py", "--parts", parts, "--output", str(folder)])
    return int(script.main())


def test_finished_parts_of_the_same_commit_are_kept(
    script: ModuleType, clocked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may be available for minutes only, so parts may run one by one."""
    commits = ["abc"]
    monkeypatch.setattr(script, "said", lambda *command: commits[0] if "rev-parse" in command else "")
    rows = [row(64, "device", (2.5, 3.0), 25.0)]
    monkeypatch.setattr(script, "times", lambda clip: rows)

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "sanitized", killed)
    with pytest.raises(KeyboardInterrupt):
        run_parts(script, monkeypatch, tmp_path, "times,sanitizer")
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["times"] == rows
    monkeypatch.setattr(script, "sanitized", lambda: True)
    assert run_parts(script, monkeypatch, tmp_path, "sanitizer") == 0
    report = json.loads(file.read_text())
    assert [bar["met"] for bar in report["bars"]] == [False, False, True, False, True]
    commits[0] = "def"
    assert run_parts(script, monkeypatch, tmp_path, "sanitizer") == 0
    assert "times" not in json.loads(file.read_text())


def test_a_new_report_does_not_count_as_a_change_of_the_commit(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the second part would belong to a changed commit, and the first part would be dropped."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    author = ("-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init",), (*author, "commit", "--allow-empty", "-m", "t")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    file, report = script.begun({"device": "d"}, results)
    file.write_text(json.dumps({**report, "times": []}))
    assert script.begun({"device": "d"}, results)[1]["times"] == []
    (tmp_path / "other.py").write_text("")
    assert script.begun({"device": "d"}, results)[1]["commit"] == report["commit"] + "+changes"


def test_an_unknown_part_is_an_error(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_parts(script, monkeypatch, tmp_path, "tests,speed")
    assert "no part speed; there are times, tests, long, engines, sanitizer" in capsys.readouterr().err


def test_a_pytest_run_without_a_report_is_an_error(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 4))
    outcome = script.tested("tests/runtime/cuda")
    assert script.failed({"tests": outcome}) == ["pytest ended with 4", "none ran"]
