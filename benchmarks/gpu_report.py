"""All that needs a GPU, in one command: python benchmarks/gpu_report.py [--output FOLDER]; `./justw gpu`.

Runs the tests marked `gpu`, then times whole updates in a rendered clip of 1280 x 720 as `dcfnet-bench gpu` does, for
1, 8, 64 and 256 targets with frames of every memory, for several streams, and with a frame's work queued call by call
in place of graphs; and writes gpu_DATE.json: what was tested, the device, its driver, the commit, and the figures,
beside the roofline. Exits with 1 where a test failed or none ran, and writes the report all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from dcfnet.errors import DcfnetError
from dcfnet.sinks import write_whole
from dcfnet_evaluation.bench.gpu_command import MEMORIES
from dcfnet_evaluation.rendered import Clip, render_clip

ROOT = Path(__file__).parents[1]
TARGETS = (1, 8, 64, 256)
STREAMS = (4, 16)  # with a target each
AT_ONCE = (16, 64, 256)  # patches through the backbone in one call, tried with 64 targets
WARM_UP, UPDATES = 20, 200
SIZE = (1280, 720)


def tested() -> dict[str, Any]:
    """How the tests marked `gpu` went: the number that ran, and the names of those that failed or were skipped."""
    with TemporaryDirectory() as folder:
        written = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", f"--junitxml={written}", "tests/runtime/cuda"]
        subprocess.run(command, cwd=ROOT)
        cases = list(ElementTree.parse(written).iter("testcase"))
    named = {
        tag: [case.get("name") for case in cases if case.find(tag) is not None]
        for tag in ("failure", "error", "skipped")
    }
    return {"run": len(cases) - len(named["skipped"]), **named}


def machine() -> dict[str, Any]:
    """The GPU and what drives it."""
    from dcfnet.device import CudaDevice  # tells what is missing

    device = CudaDevice()
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(device.number)
    return {
        "device": properties["name"].decode(),
        "memory_bytes": int(properties["totalGlobalMem"]),
        "compute_capability": device.compute_capability,
        "driver": said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0],
        "cuda_of_driver": device.driver,
        "cuda": device.cuda,
        "cupy": cupy.__version__,
    }


def said(*command: str) -> str:
    """What a program says; nothing where it is not there or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def times(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> list[Any]:
    """Every number of targets with frames of every memory, several streams, what graphs and batches are worth."""
    from dcfnet_evaluation.bench.gpu import Load, sweep  # needs CuPy

    loads = [Load(count, 1, memory) for count in targets for memory in MEMORIES]
    rows = sweep(clip, loads + [Load(targets[0], streams, "host") for streams in STREAMS], updates, warm_up)
    rows += sweep(clip, [Load(count, 1, "device") for count in targets], updates, warm_up, captures=False)
    for at_once in AT_ONCE:
        rows += sweep(clip, [Load(targets[-2], 1, "device")], updates, warm_up, patches_at_once=at_once)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    folder = parser.parse_args().output
    try:
        there = machine()
    except DcfnetError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        return 1
    tests = tested()
    report = {
        "date": date.today().isoformat(),
        "commit": said("git", "rev-parse", "HEAD") + ("+changes" if said("git", "status", "--porcelain") else ""),
        **there,
        "tests": tests,
        "clip": "rendered, {} x {}".format(*SIZE),
        "preset": "balanced",
        "times": times(render_clip(length=60, width=SIZE[0], height=SIZE[1], occluder=False)),
    }
    file = folder / f"gpu_{report['date']}.json"
    write_whole((json.dumps(report, indent=1) + "\n").encode(), file)
    print(f"{file}: {tests['run']} tests, {len(tests['failure'] + tests['error'])} failed")
    return int(not tests["run"] or bool(tests["failure"] or tests["error"]))


if __name__ == "__main__":
    sys.exit(main())
