"""All that needs a GPU, in one command: python benchmarks/gpu_report.py [--parts PART,PART] [--output FOLDER].

`./justw gpu` runs it. The parts, in this order:

    times      whole updates in a rendered clip of 1280 x 720, as `dcfnet-bench gpu` times them: 1, 8, 64 and 256
               targets with frames of every memory, several streams, a frame's work queued call by call in place of
               graphs, patches in float32, other batches
    tests      those marked `gpu`, but for the long ones
    long       whole clips against the CPU, and two million target-frames; minutes
    engines    the same times of ONNX Runtime and TensorRT, where they can be had
    sanitizer  the small tests once more under compute-sanitizer, where there is one; minutes

Writes gpu_DATE.json after each of them: the device, its driver, the commit, what was found, and what of the bars. Parts
of the same day, commit and device that are there already are kept. Exits with 1 where a test failed or none ran.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from dcfnet.errors import DcfnetError
from dcfnet.model import load_model
from dcfnet.sinks import write_whole
from dcfnet_evaluation.bench.gpu_command import MEMORIES
from dcfnet_evaluation.rendered import Clip, render_clip

ROOT = Path(__file__).parents[1]
TESTS, LONG = "tests/runtime/cuda", "tests/runtime/cuda/test_long.py"
TARGETS = (1, 8, 64, 256)
STREAMS = (4, 16)  # with a target each
AT_ONCE = (16, 64, 256)  # patches through the backbone in one call, tried with 64 targets
PRECISIONS = ("fp32", "fp16")  # of engines
AT_ONCE_OF_AN_ENGINE = 64  # likewise, and the most that the engine is built for
WARM_UP, UPDATES = 20, 1000
SIZE = (1280, 720)
# Tests whose every access compute-sanitizer can look at in minutes.
SMALL = "graphs or parity or reading or fus or halves"
TOOLS = ("memcheck", "racecheck")  # of it: all memory, and what threads of a block share
LATENCY = {"p50": 0.20, "p99": 0.40}  # ms: one target, frames in pinned memory, until the box is on the host
RATE = 20.0  # target-frames a ms of 64 targets at 3 scales, frames on the device; no fewer of 256


def tested(*selected: str) -> dict[str, Any]:
    """How the tests marked `gpu` went, of those selected: how many ran, and which failed or were skipped."""
    with TemporaryDirectory() as folder:
        written = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "--continue-on-collection-errors"]
        status = subprocess.run([*command, f"--junitxml={written}", *selected], cwd=ROOT).returncode
        if not written.exists():
            return {"run": 0, "failure": [], "error": [f"pytest ended with {status}"], "skipped": []}
        cases = list(ElementTree.parse(written).iter("testcase"))
    named = {
        tag: [case.get("name") for case in cases if case.find(tag) is not None]
        for tag in ("failure", "error", "skipped")
    }
    return {"run": len(cases) - len(named["skipped"]), **named}


def sanitized() -> bool | None:
    """Whether compute-sanitizer finds nothing in the small tests; None where it is not there."""
    if shutil.which("compute-sanitizer") is None:
        return None
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/runtime/cuda", "-k", SMALL]
    clean = True
    for tool in TOOLS:
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", *tests]
        clean &= subprocess.run(command, cwd=ROOT).returncode == 0
    return clean


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
    from dcfnet_evaluation.bench.gpu import Load, Subject, sweep  # needs CuPy

    loads = [Load(count, 1, memory) for count in targets for memory in MEMORIES]
    rows = sweep(clip, loads + [Load(targets[0], streams, "host") for streams in STREAMS], updates, warm_up)
    on_device = [Load(count, 1, "device") for count in targets]
    rows += sweep(clip, on_device, updates, warm_up, Subject(backend={"captures": False}))
    rows += sweep(clip, on_device, updates, warm_up, Subject(patches="float32"))
    for at_once in AT_ONCE:
        rows += sweep(clip, on_device[-2:-1], updates, warm_up, Subject(backend={"patches_at_once": at_once}))
    return rows


def times_of_engines(
    clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS
) -> list[Any]:
    """The same of TensorRT, built here, and of ONNX Runtime; what is not there says so in its row."""
    from dcfnet_evaluation.bench.gpu import Load, Subject, sweep  # needs CuPy

    loads = [Load(count, 1, "device") for count in targets]
    rows = sweep(clip, loads, updates, warm_up, Subject(engine="onnxruntime"))
    for precision in PRECISIONS:
        named = {"precision": precision}
        with TemporaryDirectory() as folder:
            file = Path(folder) / "dcfnet.engine"
            try:
                build(precision, file)
            except DcfnetError as error:
                rows.append({"engine": "tensorrt", **named, "error": str(error)})
                continue
            timed = sweep(clip, loads, updates, warm_up, Subject(model=file, engine="tensorrt"))
            rows += [named | row for row in timed]
    return rows


def build(precision: str, file: Path) -> None:
    """The shipped model's engine. Raises DcfnetError, of whose kind is what a missing library raises."""
    from dcfnet.engines.flavour import open_flavour
    from dcfnet.engines.make import make_engine
    from dcfnet.engines.options import BuildOptions
    from dcfnet_export.precision import convert

    model, most = convert(load_model(), precision, "tensorrt"), AT_ONCE_OF_AN_ENGINE
    make_engine(model, file, BuildOptions.of(model, max_batch=most, opt_batch=most), open_flavour())


def bars(rows: Sequence[Mapping[str, Any]], clean: bool | None) -> list[dict[str, Any]]:
    """What was asked for and what was found, a row each; of a row that is not there nothing is found."""
    found = {
        (row["targets"], row["memory"]): row
        for row in reversed(rows)  # the first of its kind counts, which is the product as it comes
        if row.get("streams") == 1 and "error" not in row
    }
    one, many, most = (found.get(key) for key in ((1, "pinned"), (64, "device"), (256, "device")))
    told = [
        {"bar": f"one target, pinned, {name}, ms", "asked": ms, "found": one and one["ms"]["host"][name]}
        for name, ms in LATENCY.items()
    ]
    for row in told:
        row["met"] = row["found"] is not None and row["found"] <= row["asked"]
    least = RATE
    for count, row in ((64, many), (256, most)):
        rate = row and row["target_frames_per_ms"]
        met = rate is not None and rate >= least
        told.append({"bar": f"{count} targets, target-frames a ms", "asked": least, "found": rate, "met": met})
        least = rate or RATE
    return [*told, {"bar": "compute-sanitizer finds nothing", "asked": True, "found": clean, "met": clean is True}]


def parts() -> dict[str, Callable[[], Any]]:
    """What can be asked for, by name, in its order."""
    clip = render_clip(length=60, width=SIZE[0], height=SIZE[1], occluder=False)
    return {
        "times": lambda: times(clip),
        "tests": lambda: tested(TESTS, f"--ignore={LONG}"),
        "long": lambda: tested(LONG),
        "engines": lambda: times_of_engines(clip),
        "sanitizer": sanitized,
    }


def begun(there: Mapping[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    """The report's file and what is in it: who and what was asked, and parts of the same that are there already."""
    changes = said("git", "status", "--porcelain", "--", ".", ":!benchmarks/results")  # where this writes itself
    head = {
        "date": date.today().isoformat(),
        "commit": said("git", "rev-parse", "HEAD") + ("+changes" if changes else ""),
        **there,
        "clip": "rendered, {} x {}".format(*SIZE),
        "preset": "balanced",
    }
    file = folder / f"gpu_{head['date']}.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    return file, before if before.items() >= head.items() else head


def failed(report: Mapping[str, Any]) -> list[str]:
    """What of its tests failed, or that none ran."""
    told = [report[part] for part in ("tests", "long") if part in report]
    return [name for tests in told for name in tests["failure"] + tests["error"] + ["none ran"] * (not tests["run"])]


def main() -> int:
    available = parts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(available))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    asked = parser.parse_args()
    if unknown := set(asked.parts.split(",")) - set(available):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(available)}")
    try:
        file, report = begun(machine(), asked.output)
    except DcfnetError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        return 1
    for part in asked.parts.split(","):
        report[part] = available[part]()
        report["bars"] = bars(report.get("times", []), report.get("sanitizer"))
        write_whole((json.dumps(report, indent=1) + "\n").encode(), file)
    for bar in report["bars"]:
        print(
            "{}: asked {}, found {}{}".format(
                *(bar[key] for key in ("bar", "asked", "found")), "" if bar["met"] else ", NOT MET"
            )
        )
    print(f"{file}: {', '.join(failed(report)) or 'no test failed'}")
    return int(bool(failed(report)))


if __name__ == "__main__":
    sys.exit(main())
