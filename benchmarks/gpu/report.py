"""The file of a report: machine, commit, results of the parts, and which requirements ("bars") are met."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dcfnet.config import DEFAULT_PRESET
from dcfnet.io.files import write_atomically

ROOT = Path(__file__).parents[2]
SIZE = (1280, 720)
LATENCY = {"p50": 0.20, "p99": 0.40}  # ms to the box on the host: one target, frames in pinned memory
RATE = 20.0  # target-frames per ms: 64 targets at 3 scales, frames on the device; 256 targets: no fewer


def machine() -> dict[str, Any]:
    """The GPU, its driver, and versions. Raises DcfnetError, which names what is missing."""
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
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "torch": _installed("torch"),
    }


def said(*command: str) -> str:
    """The output of a program; empty if it is not installed or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit_here() -> str:
    """The commit of the working tree, with "+changes" if files differ from it; "unknown" without git."""
    changes = said("git", "status", "--porcelain", "--", ".", ":!benchmarks/results")  # the report is written there
    commit = said("git", "rev-parse", "HEAD")
    return commit + ("+changes" if changes else "") if commit else "unknown"


def begun(there: Mapping[str, Any], commit: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the report and its present content: the header, and finished parts with the same header."""
    clip = {"clip": "rendered, {} x {}".format(*SIZE), "preset": DEFAULT_PRESET}
    head = {"date": date.today().isoformat(), "commit": commit, **there, **clip}
    file = folder / f"gpu_{head['date']}.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    return file, before if before.items() >= head.items() else head


def write(report: dict[str, Any], file: Path) -> None:
    """Writes the report with its bars, completely or not at all."""
    report["bars"] = bars(_rows(report, "times"), report.get("sanitizer"))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically((json.dumps(report, indent=1) + "\n").encode(), file)


def bars(rows: Sequence[Mapping[str, Any]], tools: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """The requirements: a row each with what is asked and found. `found` is None if it was not measured.

    Latencies are those of the slower kind of frame, with or without an update of the filter.
    """
    measured = {(row["targets"], row["memory"]): row for row in rows if row["streams"] == 1 and "error" not in row}
    one, many, most = (measured.get(key) for key in ((1, "pinned"), (64, "device"), (256, "device")))
    checks = []
    for name, ms in LATENCY.items():
        found = max(kind["host"][name] for kind in one["ms"].values()) if one else None
        met = found is not None and found <= ms
        checks.append({"bar": f"one target, pinned, {name}, ms", "asked": ms, "found": found, "met": met})
    least = RATE
    for count, row in ((64, many), (256, most)):
        rate = row and row["target_frames_per_ms"]
        met = rate is not None and rate >= least
        checks.append({"bar": f"{count} targets, target-frames per ms", "asked": least, "found": rate, "met": met})
        least = rate or RATE
    found = _sanitizer(tools)
    return [*checks, {"bar": "compute-sanitizer", "asked": "clean", "found": found, "met": found == "clean"}]


def problems(report: Mapping[str, Any]) -> list[str]:
    """What went wrong: failed tests, test parts in which none ran, failed parts, and a failing sanitizer."""
    found = []
    for part, result in report.items():
        if isinstance(result, dict) and "exception" in result:
            found.append(f"{part}: {result['exception']}")
        elif isinstance(result, dict) and "skipped" in result:
            found += result["failure"] + result["error"] + [f"{part}: none ran"] * (not result["run"])
    return found + ["compute-sanitizer"] * (_sanitizer(report.get("sanitizer")) == "failed")


def _rows(report: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """The rows of a part, also those that it had before it failed."""
    result = report.get(part, [])
    return list(result["rows"]) if isinstance(result, dict) else list(result)


def _sanitizer(tools: Mapping[str, str] | None) -> str | None:
    """The worst outcome of all tools."""
    if not tools or "exception" in tools:
        return None
    order = ("failed", "stopped", "not supported", "not installed", "clean")
    return min(tools.values(), key=order.index)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
