"""What all commands share: `--version`, and a message if an optional library is missing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import dcfnet_commands
import pytest
from dcfnet import __version__
from dcfnet.cli.exit_codes import ExitCode
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
DEEP = ROOT / "runtime/dcfnet/model/shipped/deep.safetensors"
SCRIPTS = re.findall(r'^(dcfnet-[a-z]+) = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "module", "function"), SCRIPTS)
def test_every_command_prints_its_version(
    name: str, module: str, function: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also without the libraries of its extra, so that a bug report can name the version."""
    if name != "dcfnet-run":
        monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", [name, "--version"])
    try:
        code: object = getattr(import_module(module), function)()
    except SystemExit as ended:
        code = ended.code
    assert not code
    assert capsys.readouterr().out.removeprefix("python -m ") == f"{name} {__version__}\n"


def test_all_commands_are_there() -> None:
    assert len(SCRIPTS) == 9


# Ctrl-C at the import of a library that is given. The library makes another error of it, as some do.
INTERRUPTED_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets programs in the background ignore it
class Finder:
    def find_spec(self, name, *rest):
        if name == {library!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000): pass
            except KeyboardInterrupt:
                raise ImportError("half of the library is there")
sys.meta_path.insert(0, Finder())
{start}
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("start", "library"),
    [
        *(
            # dcfnet-vot imports NumPy after its first message, and answers Ctrl-C with a message then
            (f"from {module} import {function}; sys.exit({function}())", "argparse" if function == "vot" else "numpy")
            for _, module, function in SCRIPTS
        ),
        ("from dcfnet_train.__main__ import main; main()", "torch"),
        ("from dcfnet_train.deep.__main__ import main; main()", "numpy"),
        ("from dcfnet_train.training_set.__main__ import main; main()", "numpy"),
    ],
)
def test_an_interrupted_import_ends_the_command_quietly(start: str, library: str) -> None:
    program = INTERRUPTED_IMPORT.format(library=library, start=start)
    done = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("handler", "kept"), [(signal.SIG_IGN, True), (signal.default_int_handler, False)])
def test_an_interruption_that_is_ignored_stays_ignored(handler: Any, kept: bool) -> None:
    """As for a program that nohup started."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        with dcfnet_commands.quiet_interrupts():
            assert (signal.getsignal(signal.SIGINT) is handler) == kept
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_all_commands_have_one_code_for_an_interruption() -> None:
    assert dcfnet_commands.INTERRUPTED == ExitCode.INTERRUPTED


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
            "dcfnet_train.crops.cli",
            ["--videos", "FOLDER", "--output", "FOLDER", "--image", "png", "--quality", "95"],
            "--quality 95: is for jpg; PNG is lossless, leave it out",
        ),
        (
            "dcfnet_train.cli",
            ["--photos", "FOLDER", "--exclude", "FOLDER", "--output", "RUN"],
            "there are no videos to exclude; give --videos FOOTAGE",
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
        ("dcfnet_train.cli", ["--device", "gpu"], "--device gpu: must be auto, cpu or cuda"),
        ("dcfnet_train.cli", ["--set", "steps"], "'steps': a setting must be given as NAME=VALUE"),
        ("dcfnet_train.cli", ["--recipe", "none.toml"], "--recipe none.toml: no such file; give another .toml file"),
        ("dcfnet_train.cli", ["--photos", "none"], "--photos none: no such folder; give a folder of photographs"),
        ("dcfnet_train.cli", ["--photos", "FOLDER"], "has no images; give a folder of photographs"),
        ("dcfnet_train.cli", ["--output", "FILE.engine"], "FILE.engine is not a folder; choose another --output"),
        ("dcfnet_train.deep.cli", ["--photos", "FOLDER"], "has no images; give a folder of photographs"),
        ("dcfnet_train.deep.cli", ["--output", "FILE.engine/new"], "FILE.engine is not a folder"),
        ("dcfnet_train.deep.cli", ["--set", "patch_size=33"], "patch_size=33: must be a multiple of 8 from 32 to 512"),
        (
            "dcfnet_export.cli",
            ["DEEP", "--onnx", "--stride", "2"],
            "--stride: no effect on deep.safetensors, a checkpoint",
        ),
        (
            "dcfnet_export.cli",
            ["DEEP", "--onnx", "--set", "patch_size=116"],
            "patch_size=116: must be a multiple of 8, the",
        ),
        (
            "dcfnet_export.cli",
            ["DEEP", "--onnx", "--set", "margin=3"],
            "margin=3: must be a multiple of the model's stride, 4",
        ),
        (
            "dcfnet_export.cli",
            ["dcfnet", "--onnx", "--set", "margin=3"],
            "margin=3: must be a multiple of the model's stride, 2",
        ),
    ],
)
def test_a_message_names_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "FILE.engine").write_bytes(b"plan")
    (tmp_path / "FOLDER").mkdir()
    places = {"FILE": f"{tmp_path}/FILE", "FOLDER": f"{tmp_path}/FOLDER", "DEEP": str(DEEP)}
    monkeypatch.chdir(tmp_path)
    given = [re.sub("|".join(places), lambda found: places[found[0]], argument) for argument in arguments]
    result = CliRunner().invoke(import_module(module).app, given)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("device='cuda': no GPU; use device='cpu'", "--device cuda: no GPU; use --device cpu"),
        ("hold_out=2: must be a share", "--hold-out 2: must be a share"),
        ("hold_out=-1e-05: must be a share", "--hold-out -1e-05: must be a share"),
        ("preset='': must be fast", "--preset : must be fast"),
        ("steps=0: must be above 0", "steps=0: must be above 0"),
    ],
)
def test_a_message_names_options_and_not_arguments(message: str, shown: str) -> None:
    assert as_options(ValueError(message), "device", "hold_out", "preset") == shown


@pytest.mark.parametrize("library", ["torch"])
def test_a_missing_library_is_one_line_with_the_remedy(library: str) -> None:
    program = f"import sys; sys.modules[{library!r}] = None; from dcfnet_train.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (f"dcfnet-train: {library} is not installed; install it with: pip install 'dcfnet[train]'\n")
