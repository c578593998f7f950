"""What all commands share: `--version`, and a message if an optional library is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from dcfnet import __version__
from dcfnet.cli.progress import CommandProgress
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
SCRIPTS = re.findall(r'^(dcfnet-[a-z]+) = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "module", "function"), SCRIPTS)
def test_every_command_prints_its_version(
    name: str, module: str, function: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also without the libraries of its extra, so that a bug report can name the version."""
    if not module.startswith("dcfnet.cli"):
        monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", [name, "--version"])
    try:
        code = getattr(import_module(module), function)()
    except SystemExit as ended:
        code = ended.code
    assert not code
    assert capsys.readouterr().out.removeprefix("python -m ") == f"{name} {__version__}\n"


def test_all_commands_are_there() -> None:
    assert len(SCRIPTS) == 9


def test_a_log_gets_lines_and_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr("dcfnet.cli.progress.time.monotonic", lambda: now)
    with CommandProgress("dcfnet-train") as progress:
        task = progress.add_task("step", total=100, loss="")
        for step in range(1, 26):
            now += 1
            progress.update(task, completed=step, loss=f"loss {step}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "dcfnet-train: step 10 of 100, loss 10\ndcfnet-train: step 20 of 100, loss 20\n"


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("dcfnet.cli.run", ["FOLDER", "--init", "1,2,30,40", "--engine", "FILE.engine"], "FILE.engine.json"),
        ("dcfnet_export.cli", ["none.safetensors", "--onnx"], "none.safetensors: no such file; give a checkpoint"),
        ("dcfnet_export.cli", ["FOLDER", "--onnx"], "not a readable safetensors file (it is a folder)"),
        ("dcfnet_export.cli", ["none.npz", "--onnx"], "none.npz: no such file"),
        (
            "dcfnet_train.crops.cli",
            ["--videos", "FOLDER", "--output", "FOLDER", "--quality", "0"],
            "--quality 0: must be a whole number from 1 to 100",
        ),
        (
            "dcfnet_train.training_set.cli",
            ["--repositories", "FOLDER", "--output", "FOLDER", "--longest", "-1"],
            "--longest -1: must be",
        ),
        (
            "dcfnet_train.cli",
            ["--videos", "none", "--output", "FOLDER"],
            "none: no such folder; give a folder of videos",
        ),
        (
            "dcfnet_train.cli",
            ["--videos", "vto:none", "--output", "FOLDER"],
            "there is no layout 'vto', the layouts are",
        ),
        ("dcfnet_train.cli", ["--resume", "--output", "FOLDER"], "last.safetensors: no such file; give a checkpoint"),
    ],
)
def test_a_message_names_the_cause(tmp_path: Path, module: str, arguments: list[str], message: str) -> None:
    (tmp_path / "FILE.engine").write_bytes(b"plan")
    given = [argument.replace("FILE", f"{tmp_path}/FILE").replace("FOLDER", str(tmp_path)) for argument in arguments]
    result = CliRunner().invoke(import_module(module).app, given)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("library", ["torch"])
def test_a_missing_library_is_one_line_with_the_remedy(library: str) -> None:
    program = f"import sys; sys.modules[{library!r}] = None; from dcfnet_train.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (f"dcfnet-train: {library} is not installed; install it with: pip install 'dcfnet[train]'\n")
