"""Several processes do the same steps as one, and a run survives the death of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from dcfnet.errors import ConfigError
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.ranks import Ranks, joined
from dcfnet_train.run import LAST, LOG

from tests.train.test_loop import SMALL, run

# A program of each process: dcfnet-train. Process 1 of the first start kills itself before step 4. A process that
# finishes writes the threads that remain.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from dcfnet_train import loop
from dcfnet_train.cli import app
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    step = loop._step
    def killed(run, *rest):
        if run.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(run, *rest)
    loop._step = killed
app(sys.argv[1:], standalone_mode=False)
names = [(task / "comm").read_text() for task in Path("/proc/self/task").glob("*")]
Path(__file__).with_name(f"threads_{os.environ['RANK']}").write_text("".join(names))
"""


def arguments(footage: Path, output: Path) -> list[str]:
    """Of dcfnet-train, for six steps with a checkpoint after three."""
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "micro_batch": 2, "steps": 6, "ema": 0.5}.items()]
    data = [f"--videos={footage / 'videos'}", f"--photos={footage / 'photos'}", f"--output={output}", "--workers=0"]
    return [*data, *sets, "--device=cpu", "--save-every=3"]


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / LOG).read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, with the variables that torchrun sets."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}.items():
            patch.setenv(name, value)
        code, text = run(*arguments(footage, folder))
    assert code == 0, text
    return folder


@dataclass(frozen=True)
class Restarted:
    """The run of two processes under torchrun. One is killed, and torchrun restarts both."""

    folder: Path
    output: str
    threads: list[str]


@pytest.fixture(scope="module")
def restarted(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Restarted:
    folder = tmp_path_factory.mktemp("restarted")
    (folder / "program.py").write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [*torchrun, str(folder / "program.py"), *arguments(footage, folder / "run"), "--threads=1"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    threads = [(folder / f"threads_{rank}").read_text() for rank in (0, 1)]
    return Restarted(folder / "run", done.stdout + done.stderr, threads)


def test_two_processes_do_the_same_steps_as_one(alone: Path, restarted: Restarted) -> None:
    """Although one process is killed: both resume from the last checkpoint."""
    assert losses(restarted.folder) == pytest.approx(losses(alone), rel=1e-4)
    expected, actual = load_checkpoint(alone / LAST), load_checkpoint(restarted.folder / LAST)
    assert actual.step == 6
    for name, tensor in expected.deployed().items():
        torch.testing.assert_close(actual.deployed()[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_killed_process_restarts_all(restarted: Restarted) -> None:
    assert "failed (exitcode: -9) local_rank: 1" in restarted.output


def test_only_the_first_process_prints(restarted: Restarted) -> None:
    assert restarted.output.count("trained 6 steps") == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads threads where Linux lists them")
def test_no_thread_of_the_group_remains_at_the_end(restarted: Restarted) -> None:
    """A gloo thread that is alive during the shutdown of Python aborts one run in forty, after its last step."""
    for threads in restarted.threads:
        assert threads
        assert "gloo" not in threads


def test_a_batch_that_is_not_a_multiple_is_refused() -> None:
    assert [Ranks(rank, 4).share(16) for rank in (0, 3)] == [slice(0, 4), slice(12, 16)]
    with pytest.raises(ConfigError, match="batch=16: must be a multiple of the 3 processes; give --set batch=N"):
        Ranks(0, 3).share(16)


def test_a_missing_device_is_reported() -> None:
    with pytest.raises(ConfigError, match="device='tpu': must be auto, cpu or cuda"), joined("tpu"):
        pass
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch finds no GPU"), joined("cuda"):
            pass
