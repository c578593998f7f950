"""The tests that need a GPU, by pytest, alone and under compute-sanitizer. Each runs in a process of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu.budget import Budget

ROOT = Path(__file__).parents[2]
TESTS, LONG = "tests/runtime/cuda", "tests/runtime/cuda/test_long.py"
# Tests that take minutes under compute-sanitizer, which checks every memory access.
SMALL = "slots or parity or peaks or fused or filter_update or halves or tensor_cores or fp16"
TOOLS = ("memcheck", "racecheck")  # of compute-sanitizer: all memory; shared memory of a block
TO_END = 20.0  # seconds in which an interrupted pytest writes its report
# What a sanitizer says if it cannot run on this machine, for example in a container without the right to debug.
UNSUPPORTED = ("not supported", "unable to initialize", "insufficient permission", "no attachable process")


def tested(budget: Budget, *selected: str) -> dict[str, Any]:
    """Runs the selected tests with the mark `gpu`: how many ran, and the names of those that failed or were skipped.

    At the end of the budget pytest is interrupted; `stopped` then says so, and the tests up to there count.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "--continue-on-collection-errors"]
        status, stopped = _run([*command, f"--junitxml={file}", *selected], budget)
        if not file.exists():
            return {"run": 0, "failure": [], "error": [f"pytest ended with {status}"], "skipped": []}
        cases = list(ElementTree.parse(file).iter("testcase"))
    names = {
        tag: [case.get("name") for case in cases if case.find(tag) is not None]
        for tag in ("failure", "error", "skipped")
    }
    outcome = {"run": len(cases) - len(names["skipped"]), **names}
    return outcome | ({"stopped": "the budget ended"} if stopped else {})


def sanitized(budget: Budget) -> dict[str, str]:
    """Tool -> "clean", "failed", "not supported" or "stopped"; all "not installed" without compute-sanitizer."""
    if shutil.which("compute-sanitizer") is None:
        return dict.fromkeys(TOOLS, "not installed")
    return {tool: _sanitized(tool, budget) for tool in TOOLS}


def _sanitized(tool: str, budget: Budget) -> str:
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", TESTS, "-k", SMALL]
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "99", *tests]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=budget.timeout())
    except subprocess.TimeoutExpired:
        return "stopped"
    output = done.stdout + done.stderr
    print(output[-4000:])
    if done.returncode == 0:
        return "clean"
    return "not supported" if any(words in output.lower() for words in UNSUPPORTED) else "failed"


def _run(command: Sequence[str], budget: Budget) -> tuple[int, bool]:
    """The exit status of a program, and whether it was interrupted at the end of the budget."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        timeout = budget.timeout()
        return process.wait(None if timeout is None else max(timeout - TO_END, 1.0)), False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(TO_END), True
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(), True
    except BaseException:  # Ctrl-C
        process.kill()
        raise
