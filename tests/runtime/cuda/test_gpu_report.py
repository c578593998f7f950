"""benchmarks/gpu_report.py on the stand-in, so that it does not fail when a GPU is available."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from dcfnet_evaluation.rendered import Clip, render_clip

from benchmarks.gpu import report as reports
from benchmarks.gpu import suites, updates
from benchmarks.gpu.budget import Budget
from tests.scripts import load_script


@pytest.fixture
def script() -> ModuleType:
    return load_script("gpu_report")


@pytest.fixture
def short() -> Clip:
    return render_clip(length=4, width=160, height=120, occluder=False)


def row(targets: int, memory: str, host: tuple[float, float], rate: float, **more: Any) -> dict[str, Any]:
    """A row of the report. host: p50 and p99 of frames with an update, ms. rate: target-frames per ms."""
    times = {"without_update": {"host": {"p50": 0.1, "p99": 0.1}}}
    times["with_update"] = {"host": dict(zip(("p50", "p99"), host, strict=True))}
    return {"targets": targets, "streams": 1, "memory": memory, "ms": times, "target_frames_per_ms": rate, **more}


GOOD = [row(1, "pinned", (0.15, 0.3), 6.0), row(64, "device", (2.5, 3.0), 25.0), row(256, "device", (9, 9), 26.0)]
CLEAN = {"memcheck": "clean", "racecheck": "clean"}
PASSED = {"run": 3, "failure": [], "error": [], "skipped": []}


@pytest.fixture
def quick(script: ModuleType, clocked: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with parts that take no time."""
    given = {"times": GOOD, "tests": PASSED, "long": PASSED, "sanitizer": CLEAN}
    results: dict[str, Any] = {name: given.get(name, []) for name in script.PARTS}
    parts = {name: lambda budget, result=result: result for name, result in results.items()}
    monkeypatch.setattr(script, "PARTS", parts)
    return script


def run(script: ModuleType, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs the script. Returns its exit code and the report."""
    status = int(script.main(["--output", str(folder), "--commit", "abc", *arguments]))
    (file,) = folder.iterdir()
    return status, json.loads(file.read_text())


def test_updates_are_timed_for_every_load(clocked: Any, short: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "STREAMS", (2, 3))
    monkeypatch.setattr(updates, "REQUIRED", ((1, "pinned"), (2, "device")))
    rows = list(updates.times(short, updates=3, warm_up=1, targets=(1, 2)))
    assert [row for row in rows if "error" in row] == []
    assert [(row["targets"], row["memory"]) for row in rows[:2]] == [(1, "pinned"), (2, "device")]
    loads = {(row["targets"], row["streams"], row["memory"]) for row in rows}
    single = {(count, 1, memory) for count in (1, 2) for memory in ("host", "pinned", "device")}
    assert loads == single | {(1, 2, "host"), (1, 3, "host")}
    assert {row["execution"] for row in rows} == {"graph"}
    assert rows[1]["target_frames_per_ms"] == 1.0  # two targets in the 2 ms of the stand-in's events
    assert set(rows[0]["ms"]) == {"without_update", "with_update"}
    assert rows[0]["ms"]["with_update"]["device"] == {"p50": 2.0, "p90": 2.0, "p99": 2.0}
    assert rows[0]["mean_ms"]["host"] > 0


def test_a_row_says_how_its_programs_ran(clocked: Any, short: Clip) -> None:
    rows = list(updates.settings(short, updates=1, warm_up=0, targets=(1, 2)))
    tensor_cores, rows = rows[:2], rows[2:]
    labels = [(row["targets"], row["engine"], row["execution"], "floor_ms" in row) for row in tensor_cores]
    assert labels == [(count, "native-fp16", "graph", False) for count in (1, 2)]
    assert all("floor_ms" in row for row in rows)
    executions = [(row["targets"], row.get("captures"), row["execution"]) for row in rows]
    assert executions[:2] == [(1, False, "call by call"), (2, False, "call by call")]
    assert executions[2:] == [*((count, None, "graph") for count in (1, 2)), *[(1, None, "graph")] * 4]
    assert [row.get("patches_per_call") for row in rows[4:]] == [16, 64, 256, None]
    assert (rows[-1]["memory"], rows[-1]["reads_in_place"]) == ("pinned", False)


def test_an_engine_that_is_not_usable_is_a_row_with_an_error(
    clocked: Any, short: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime has no CUDA provider in this test, and TensorRT is hidden."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    rows = list(updates.engines(short, updates=1, warm_up=1, targets=(1, 2)))
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
        "from benchmarks.gpu.updates import build\n"
        "from dcfnet.errors import DcfnetError\n"
        "from pathlib import Path\n"
        "try: build('fp32', Path('none.engine'))\n"
        "except DcfnetError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "dcfnet[rtx]" in done.stdout


# An exception in the middle of the real code of each part: where it is raised, and what the report then holds.
FAULTS = {
    "times": ("dcfnet_evaluation.bench.gpu.speed", "started"),
    "yardstick": ("benchmarks.gpu.yardstick", "load_model"),
    "tests": ("benchmarks.gpu.suites", "TemporaryDirectory"),
    "settings": ("dcfnet_evaluation.bench.gpu.speed", "started"),
    "engines": ("benchmarks.gpu.updates", "TemporaryDirectory"),
    "sanitizer": ("shutil", "which"),
    "long": ("benchmarks.gpu.suites", "_run"),
}


@pytest.mark.parametrize("part", list(FAULTS))
def test_an_exception_in_a_part_is_recorded_and_the_next_parts_run(
    quick: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: Clip, part: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError(f"in {part}")

    real = load_script("gpu_report")
    monkeypatch.setattr(real, "clip", lambda: short)
    monkeypatch.setitem(quick.PARTS, part, real.PARTS[part])
    where, name = FAULTS[part]
    module = shutil if where == "shutil" else importlib.import_module(where)
    monkeypatch.setattr(module, name, fail)
    status, report = run(quick, tmp_path)
    assert f"in {part}" in json.dumps(report[part])
    assert [each for each in report if each in FAULTS] == list(FAULTS)
    if part in ("times", "settings"):  # each row fails, and the part has measured nothing
        assert all("ZeroDivisionError" in row["error"] for row in report[part])
        assert status == (3 if part == "times" else 0)
    else:
        assert "ZeroDivisionError" in report[part]["exception"]
        assert "Traceback" in report[part]["traceback"]
        assert status == 1
    if part == "engines":  # its first rows are kept
        assert len(report[part]["rows"]) == 4


def test_rows_before_an_exception_are_written(quick: ModuleType, tmp_path: Path) -> None:
    def some(budget: Budget) -> Iterator[dict[str, Any]]:
        yield from GOOD
        raise ValueError("the last row")

    quick.PARTS["times"] = some
    status, report = run(quick, tmp_path)
    assert report["times"]["rows"] == GOOD
    assert [bar["met"] for bar in report["bars"]] == [True] * 5
    assert status == 1


def test_a_killed_report_has_the_rows_so_far(quick: ModuleType, tmp_path: Path) -> None:
    def killed(budget: Budget) -> Iterator[dict[str, Any]]:
        yield GOOD[0]
        raise KeyboardInterrupt

    quick.PARTS["times"] = killed
    with pytest.raises(KeyboardInterrupt):
        run(quick, tmp_path)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["times"] == GOOD[:1]


def test_what_does_not_fit_into_the_budget_is_left_out(
    quick: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("benchmarks.gpu.budget.time.monotonic", lambda: clock[0])

    def slow(budget: Budget) -> Iterator[dict[str, Any]]:
        for each in GOOD:
            clock[0] += 60
            yield each

    quick.PARTS["times"] = slow
    status, report = run(quick, tmp_path, "--budget", "100", "--parts", "times,tests,long")
    assert report["times"] == GOOD[:2]
    assert report["left_out"] == ["times, after 2 rows", "tests", "long"]
    assert status == 3  # not all bars were measured
    clock[0] = 0.0
    status, report = run(quick, tmp_path, "--parts", "times,sanitizer,tests")
    assert report["left_out"] == ["long"]
    assert status == 0


def test_pytest_is_interrupted_at_the_end_of_the_budget(tmp_path: Path) -> None:
    """It then still writes its report: the tests up to there count."""
    started = tmp_path / "started"
    (tmp_path / "test_slow.py").write_text(
        "import pathlib, time, pytest\n"
        "@pytest.mark.gpu\ndef test_a(): pass\n"
        f"@pytest.mark.gpu\ndef test_b():\n    pathlib.Path({str(started)!r}).touch()\n    time.sleep(60)\n"
    )

    class EndsInTheSecondTest(Budget):
        def timeout(self) -> float:
            for _ in range(600):  # a busy machine takes seconds to start pytest
                if started.exists():
                    break
                time.sleep(0.1)
            return suites.TO_END + 1

    outcome = suites.tested(EndsInTheSecondTest(None), "-p", "no:cacheprovider", str(tmp_path / "test_slow.py"))
    assert outcome["stopped"]
    assert outcome["run"] >= 1
    assert outcome["failure"] == []


def test_requirements_use_the_slower_kind_of_frame(script: ModuleType) -> None:
    rows = [
        *(row(1, "pinned", (0.15, 0.5), 6.0), row(64, "device", (2.5, 3.0), 25.0), row(256, "device", (9, 9), 24.0)),
        {"targets": 1, "memory": "host", "streams": 1, "error": "no memory"},
    ]
    bars = reports.bars(rows, CLEAN)
    assert [(bar["found"], bar["met"]) for bar in bars] == [
        *((0.15, True), (0.5, False), (25.0, True), (24.0, False), ("clean", True))
    ]
    assert bars[3]["asked"] == 25.0  # no fewer than with 64 targets


def test_a_requirement_that_was_not_measured_is_not_met() -> None:
    bars = reports.bars([], None)
    assert [(bar["found"], bar["met"]) for bar in bars] == [(None, False)] * 5


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 0),
        ({"times": [*GOOD[:2], row(256, "device", (9, 9), 20.0)]}, 3),  # fewer than with 64 targets
        ({"tests": {**PASSED, "failure": ["test_x"]}}, 1),
        ({"tests": {**PASSED, "run": 0}}, 1),  # a run in which every test was skipped proves nothing
        ({"sanitizer": {**CLEAN, "racecheck": "failed"}}, 1),
        ({"sanitizer": {**CLEAN, "racecheck": "not supported"}}, 3),
    ],
)
def test_the_exit_code_says_whether_the_bars_are_met(
    quick: ModuleType, tmp_path: Path, changed: dict[str, Any], status: int
) -> None:
    for part, result in changed.items():
        quick.PARTS[part] = lambda budget, result=result: result
    assert run(quick, tmp_path)[0] == status


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "ERROR SUMMARY: 0 errors", "clean"),
        (99, "Invalid __global__ read of size 4 bytes", "failed"),
        (1, "========= Error: Device not supported", "not supported"),
    ],
)
def test_a_sanitizer_that_cannot_run_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, status: int, output: str, expected: str
) -> None:
    monkeypatch.setattr(suites.shutil, "which", lambda name: None)
    assert suites.sanitized(Budget(None)) == dict.fromkeys(suites.TOOLS, "not installed")
    monkeypatch.setattr(suites.shutil, "which", lambda name: f"/opt/{name}")
    commands: list[Any] = []

    def done(command: Any, **_: Any) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, status if "racecheck" in command else 0, output, "")

    monkeypatch.setattr(suites.subprocess, "run", done)
    assert suites.sanitized(Budget(None)) == {"memcheck": "clean", "racecheck": expected}
    assert commands[0][0] == "compute-sanitizer"
    assert suites.SMALL in commands[0]


def test_a_broken_device_continues_in_a_new_process(
    quick: ModuleType, tmp_path: Path, clocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an illegal address every call of this process fails."""
    commands: list[list[str]] = []

    def fail(budget: Budget) -> Any:
        monkeypatch.setattr(clocked.cuda, "get_current_stream", lambda: 1 / 0)
        raise RuntimeError("cudaErrorIllegalAddress")

    def done(command: list[str], **_: Any) -> Any:
        commands.extend([command] * ("--parts" in command))
        return subprocess.CompletedProcess(command, 3, "", "")

    quick.PARTS["tests"] = fail
    monkeypatch.setattr(quick.subprocess, "run", done)
    status, report = run(quick, tmp_path, "--parts", "times,tests,settings,long", "--budget", "500")
    assert (status, report["times"]) == (3, GOOD)
    (command,) = commands
    assert command[command.index("--parts") + 1] == "settings,long"
    assert command[command.index("--commit") + 1] == "abc"
    assert 0 < float(command[command.index("--budget") + 1]) <= 500


def test_the_report_describes_the_machine(clocked: Any) -> None:
    machine = reports.machine()
    assert (machine["device"], machine["compute_capability"], machine["cuda"]) == ("Stand-in", "8.6", "13.2")
    assert machine["opencv"]


def test_a_missing_gpu_is_an_error_and_writes_no_file(
    script: ModuleType, clocked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clocked.cuda.runtime.getDeviceCount = lambda: 0
    assert script.main(["--output", str(tmp_path)]) == 1
    message = "gpu_report: there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'"
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_finished_parts_of_the_same_commit_are_kept(quick: ModuleType, tmp_path: Path) -> None:
    """A machine may be available for minutes only, so parts may run one by one."""
    run(quick, tmp_path, "--parts", "times")
    status, report = run(quick, tmp_path, "--parts", "sanitizer,tests")
    assert report["times"] == GOOD
    assert (status, report["commit"]) == (0, "abc")
    status, report = run(quick, tmp_path, "--parts", "tests", "--commit", "def")
    assert "times" not in report
    assert status == 3


def test_the_commit_of_files_without_git_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "said", lambda *command: "")
    assert reports.commit_here() == "unknown"


def test_a_new_report_does_not_count_as_a_change_of_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the second part would belong to a changed commit, and the first part would be dropped."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    author = ("-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init",), (*author, "commit", "--allow-empty", "-m", "t")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(reports, "ROOT", tmp_path)
    before = reports.commit_here()
    (results / "gpu_2026-01-01.json").write_text("{}")
    assert reports.commit_here() == before
    (tmp_path / "other.py").write_text("")
    assert reports.commit_here() == before + "+changes"


def test_an_unknown_part_is_an_error(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.main(["--parts", "tests,speed"])
    assert "no part speed; there are times, yardstick, tests, settings" in capsys.readouterr().err


def test_a_pytest_run_without_a_report_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "_run", lambda command, budget: (4, False))
    outcome = suites.tested(Budget(None), "tests/runtime/cuda")
    assert reports.problems({"tests": outcome}) == ["pytest ended with 4", "tests: none ran"]
