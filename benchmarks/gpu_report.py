"""All that needs a GPU, in one command: python benchmarks/gpu_report.py [--output FOLDER]; `./justw gpu`.

Runs the tests marked `gpu`, then times whole updates of 1, 8, 64 and 256 targets in a rendered clip of 1280 x 720, and
writes gpu_DATE.json: what was tested, the device, its driver, the commit, and the times in ms. Device times are between
two CUDA events around an update, so that they hold the host's part of it, too; frames come from the host's memory and
from the GPU's. Exits with 1 where a test failed or none ran, and writes the report all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import dcfnet
import numpy as np
from dcfnet.errors import DcfnetError
from dcfnet.sinks import write_whole
from dcfnet_evaluation.rendered import Clip, render_clip

ROOT = Path(__file__).parents[1]
TARGETS = (1, 8, 64, 256)
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


def started(targets: int, clip: Clip, at_once: int | None = None) -> dcfnet.MultiTracker:
    """A tracker that follows the clip's target, and others beside it, as far as they fit into the frame."""
    tracker = dcfnet.MultiTracker(device="cuda")
    if at_once is not None:
        tracker._pipeline.backend.patches_at_once = at_once
    box, rng = clip.box(0), np.random.default_rng(0)
    frame = clip.frame(0)
    for _ in range(targets):
        aside = rng.uniform(-40, 40, size=2)
        tracker.add(frame, dcfnet.Box(box.x + aside[0], box.y + aside[1], box.w, box.h))
    return tracker


def there_and_back(frames: Sequence[Any]) -> Iterator[Any]:
    """The frames, again and again, with no leap between two of them."""
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def timed(tracker: dcfnet.MultiTracker, frames: Sequence[Any], updates: int, warm_up: int) -> dict[str, Any]:
    """Milliseconds of an update: between two events on the stream, and on the host's clock."""
    import cupy

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    device, host, shown = [], [], there_and_back(frames)
    for index in range(warm_up + updates):
        frame = next(shown)
        started_at = time.perf_counter()
        begin.record()
        tracker.update(frame)
        end.record()
        answered = time.perf_counter()
        end.synchronize()
        if index >= warm_up:
            device.append(cupy.cuda.get_elapsed_time(begin, end))
            host.append((answered - started_at) * 1e3)
    pool = cupy.get_default_memory_pool().total_bytes()
    return {"device_ms": quantiles(device), "host_ms": quantiles(host), "updates": updates, "pool_bytes": int(pool)}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and tail, rounded to the microsecond."""
    return {name: round(float(np.quantile(values, q)), 3) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}


def times(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> list[Any]:
    """Every number of targets with frames of either memory, then what the size of a batch is worth."""
    import cupy

    host = [clip.frame(index) for index in range(1, clip.length)]
    places: dict[str, Callable[[], list[Any]]] = {
        "host": lambda: host,
        "device": lambda: [cupy.asarray(frame) for frame in host],
    }
    asked = [{"targets": count, "frames": place} for count in targets for place in places]
    asked += [{"targets": targets[-2], "frames": "device", "patches_at_once": at_once} for at_once in AT_ONCE]
    rows = []
    for row in asked:
        try:
            tracker = started(row["targets"], clip, row.get("patches_at_once"))
            told = timed(tracker, places[row["frames"]](), updates, warm_up)
            rows.append({**row, "target_frames_per_ms": round(row["targets"] / told["device_ms"]["p50"], 2), **told})
        except DcfnetError as error:  # no memory for so many: the other rows still count
            rows.append({**row, "error": str(error)})
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
