"""Several processes do the same steps as one, and a run survives the death of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dcfnet.errors import ConfigError
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.ranks import Ranks, joined
from dcfnet_train.run import LAST, LOG

from tests.train.test_loop import SMALL

ENDING = """
import sys
from pathlib import Path
from dcfnet_train.cli import app
app(sys.argv[1:], standalone_mode=False)
left = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert not [name for name in left if "gloo" in name], f"threads of the group remain: {left}"
"""

KILLER = """
import os, signal, sys
from dcfnet_train import loop
from dcfnet_train.cli import app
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    step = loop._step
    def killed(run, *rest):
        if run.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(run, *rest)
    loop._step = killed
app(sys.argv[1:])
"""


def train_on(processes: int, footage: Path, output: Path, *torchrun: str, script: Path | None = None) -> str:
    """Runs dcfnet-train under torchrun for six steps; returns its output."""
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "micro_batch": 2, "steps": 6, "ema": 0.5}.items()]
    data = [f"--videos={footage / 'videos'}", f"--photos={footage / 'photos'}", f"--output={output}", "--workers=0"]
    program = [str(script)] if script else ["-m", "dcfnet_train"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, *torchrun, *program, *data, *sets, "--device=cpu", "--threads=1", "--save-every=3"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / LOG).read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train_on(1, footage, folder)
    return folder


def test_two_processes_do_the_same_steps_as_one(alone: Path, footage: Path, tmp_path: Path) -> None:
    output = train_on(2, footage, tmp_path)
    assert output.count("trained 6 steps") == 1  # only the first process prints
    assert losses(tmp_path) == pytest.approx(losses(alone), rel=1e-4)
    expected, actual = load_checkpoint(alone / LAST), load_checkpoint(tmp_path / LAST)
    for name, tensor in expected.deployed().items():
        torch.testing.assert_close(actual.deployed()[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_run_survives_a_killed_process(alone: Path, footage: Path, tmp_path: Path) -> None:
    """torchrun restarts both processes, and they resume from the last checkpoint."""
    script = tmp_path / "killed.py"
    script.write_text(KILLER)
    train_on(2, footage, tmp_path / "run", "--max-restarts=1", script=script)
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), rel=1e-4)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads threads where Linux lists them")
def test_no_thread_of_the_group_remains_at_the_end(footage: Path, tmp_path: Path) -> None:
    """A gloo thread that is alive during the shutdown of Python aborts one run in forty, after its last step."""
    script = tmp_path / "ending.py"
    script.write_text(ENDING)
    train_on(2, footage, tmp_path / "run", script=script)


def test_a_batch_that_is_not_a_multiple_is_refused() -> None:
    assert [Ranks(rank, 4).share(16) for rank in (0, 3)] == [slice(0, 4), slice(12, 16)]
    with pytest.raises(ConfigError, match="batch=16: not a multiple of the 3 processes; set batch to a multiple"):
        Ranks(0, 3).share(16)


def test_a_missing_device_is_reported() -> None:
    with pytest.raises(ConfigError, match="device 'tpu': must be auto, cpu or cuda"), joined("tpu"):
        pass
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch finds no GPU"), joined("cuda"):
            pass
