"""All tests and times that need a GPU: python benchmarks/gpu_report.py [--parts PART,PART] [--output FOLDER].

`./justw gpu` runs it. The parts, in this order:

    times      whole updates on a rendered clip of 1280 x 720, timed like `dcfnet-bench gpu`: 1, 8, 64 and 256 targets
               with frames in each kind of memory, several streams, without captured programs, patches in float32,
               other batch sizes
    tests      the tests with the mark `gpu`, except the long ones
    long       whole clips against the CPU, and two million target-frames; minutes
    engines    the same times for ONNX Runtime and TensorRT, if they are usable
    sanitizer  the small tests under compute-sanitizer, if it is installed; minutes

After each part it writes gpu_DATE.json: the device, its driver, the commit, the results, and which requirements
("bars") are met. Finished parts of the same day, commit and device are kept. Exit code 1: a test failed, or none ran.
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

from dcfnet.backbones.loading import load_model
from dcfnet.errors import DcfnetError
from dcfnet.io.files import write_atomically
from dcfnet_evaluation.bench.gpu_command import MEMORIES
from dcfnet_evaluation.rendered import Clip, render_clip

ROOT = Path(__file__).parents[1]
TESTS, LONG = "tests/runtime/cuda", "tests/runtime/cuda/test_long.py"
TARGETS = (1, 8, 64, 256)
STREAMS = (4, 16)  # with one target each
PATCHES_PER_CALL = (16, 64, 256)  # of the backbone, timed with 64 targets
PRECISIONS = ("fp32", "fp16")  # of engines
ENGINE_BATCH = 64  # patches per call: the maximum and the optimum of the engine profile
WARM_UP, UPDATES = 20, 1000
SIZE = (1280, 720)
# Tests that take minutes under compute-sanitizer, which checks every memory access.
SMALL = "slots or parity or peaks or fused or filter_update or halves"
TOOLS = ("memcheck", "racecheck")  # of compute-sanitizer: all memory; shared memory of a block
LATENCY = {"p50": 0.20, "p99": 0.40}  # ms to the box on the host: one target, frames in pinned memory
RATE = 20.0  # target-frames per ms: 64 targets at 3 scales, frames on the device; 256 targets: no fewer


def tested(*selected: str) -> dict[str, Any]:
    """Runs the selected tests with the mark `gpu`: how many ran, and the names of those that failed or were skipped."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "--continue-on-collection-errors"]
        status = subprocess.run([*command, f"--junitxml={file}", *selected], cwd=ROOT).returncode
        if not file.exists():
            return {"run": 0, "failure": [], "error": [f"pytest ended with {status}"], "skipped": []}
        cases = list(ElementTree.parse(file).iter("testcase"))
    names = {
        tag: [case.get("name") for case in cases if case.find(tag) is not None]
        for tag in ("failure", "error", "skipped")
    }
    return {"run": len(cases) - len(names["skipped"]), **names}


def sanitized() -> bool | None:
    """Whether compute-sanitizer finds no error in the small tests; None if it is not installed."""
    if shutil.which("compute-sanitizer") is None:
        return None
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/runtime/cuda", "-k", SMALL]
    clean = True
    for tool in TOOLS:
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", *tests]
        clean &= subprocess.run(command, cwd=ROOT).returncode == 0
    return clean


def machine() -> dict[str, Any]:
    """The GPU, its driver and CUDA versions. Raises DcfnetError, which names what is missing."""
    from dcfnet.devices.cuda.device import CudaDevice  # needs CuPy

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
    """The output of a program; empty if it is not installed or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def times(clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS) -> list[Any]:
    """Rows for all numbers of targets and kinds of memory, several streams, without captures, and other batch sizes."""
    from dcfnet_evaluation.bench.gpu import Load, Subject, sweep  # needs CuPy

    loads = [Load(count, 1, memory) for count in targets for memory in MEMORIES]
    rows = sweep(clip, loads + [Load(targets[0], streams, "host") for streams in STREAMS], updates, warm_up)
    on_device = [Load(count, 1, "device") for count in targets]
    rows += sweep(clip, on_device, updates, warm_up, Subject(backend={"captures": False}))
    rows += sweep(clip, on_device, updates, warm_up, Subject(patches="float32"))
    for count in PATCHES_PER_CALL:
        rows += sweep(clip, on_device[-2:-1], updates, warm_up, Subject(backend={"patches_per_call": count}))
    return rows


def times_of_engines(
    clip: Clip, updates: int = UPDATES, warm_up: int = WARM_UP, targets: Sequence[int] = TARGETS
) -> list[Any]:
    """Rows for ONNX Runtime and for TensorRT engines built here. A row has an `error` if its engine is not usable."""
    from dcfnet_evaluation.bench.gpu import Load, Subject, sweep  # needs CuPy

    loads = [Load(count, 1, "device") for count in targets]
    rows = sweep(clip, loads, updates, warm_up, Subject(engine="onnxruntime"))
    for precision in PRECISIONS:
        label = {"precision": precision}
        with TemporaryDirectory() as folder:
            file = Path(folder) / "dcfnet.engine"
            try:
                build(precision, file)
            except DcfnetError as error:
                rows.append({"engine": "tensorrt", **label, "error": str(error)})
                continue
            engine_rows = sweep(clip, loads, updates, warm_up, Subject(model=file, engine="tensorrt"))
            rows += [label | row for row in engine_rows]
    return rows


def build(precision: str, file: Path) -> None:
    """Builds an engine of the model `dcfnet`. Raises DcfnetError, also if a library is missing."""
    from dcfnet.engines.flavour import open_flavour
    from dcfnet.engines.make import make_engine
    from dcfnet.engines.options import BuildOptions
    from dcfnet_export.precision import convert

    model = convert(load_model("dcfnet"), precision, "tensorrt")
    make_engine(model, file, BuildOptions.of(model, max_batch=ENGINE_BATCH, opt_batch=ENGINE_BATCH), open_flavour())


def bars(rows: Sequence[Mapping[str, Any]], clean: bool | None) -> list[dict[str, Any]]:
    """The requirements: a row each with what is asked and found. `found` is None if it was not measured."""
    first_rows = {
        (row["targets"], row["memory"]): row
        for row in reversed(rows)  # the first row of each kind has the default settings
        if row.get("streams") == 1 and "error" not in row
    }
    one, many, most = (first_rows.get(key) for key in ((1, "pinned"), (64, "device"), (256, "device")))
    checks = [
        {"bar": f"one target, pinned, {name}, ms", "asked": ms, "found": one and one["ms"]["host"][name]}
        for name, ms in LATENCY.items()
    ]
    for row in checks:
        row["met"] = row["found"] is not None and row["found"] <= row["asked"]
    least = RATE
    for count, row in ((64, many), (256, most)):
        rate = row and row["target_frames_per_ms"]
        met = rate is not None and rate >= least
        checks.append({"bar": f"{count} targets, target-frames per ms", "asked": least, "found": rate, "met": met})
        least = rate or RATE
    return [*checks, {"bar": "compute-sanitizer finds no error", "asked": True, "found": clean, "met": clean is True}]


def parts() -> dict[str, Callable[[], Any]]:
    """The functions of the parts, by name, in their order."""
    clip = render_clip(length=60, width=SIZE[0], height=SIZE[1], occluder=False)
    return {
        "times": lambda: times(clip),
        "tests": lambda: tested(TESTS, f"--ignore={LONG}"),
        "long": lambda: tested(LONG),
        "engines": lambda: times_of_engines(clip),
        "sanitizer": sanitized,
    }


def begun(there: Mapping[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the report and its present content: the header, and finished parts with the same header."""
    changes = said("git", "status", "--porcelain", "--", ".", ":!benchmarks/results")  # this script writes there
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
    """Names of the failed tests, and "none ran" for a part without tests."""
    outcomes = [report[part] for part in ("tests", "long") if part in report]
    return [
        name for tests in outcomes for name in tests["failure"] + tests["error"] + ["none ran"] * (not tests["run"])
    ]


def main() -> int:
    available = parts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(available))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts.split(",")) - set(available):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(available)}")
    try:
        file, report = begun(machine(), chosen.output)
    except DcfnetError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        return 1
    for part in chosen.parts.split(","):
        report[part] = available[part]()
        report["bars"] = bars(report.get("times", []), report.get("sanitizer"))
        write_atomically((json.dumps(report, indent=1) + "\n").encode(), file)
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
