"""All tests and times that need a GPU: python benchmarks/gpu_report.py [--budget SECONDS] [--parts PART,PART].

`./justw gpu` runs it. The parts, in this order:

    times      whole calls of `update` on a rendered clip of 1280 x 720, timed like `dcfnet-bench gpu`: 1, 8, 64 and 256
               targets with frames in each kind of memory, several streams. Rows with a requirement come first
    yardstick  the convolutions of the network by torch and cuDNN in a CUDA graph, beside the native kernels; those on
               tensor cores with the difference of their features
    tests      the tests with the mark `gpu`, except the long ones
    settings   the times on tensor cores, without captured programs, with patches in float32, with other batch sizes
    engines    the same times for ONNX Runtime and TensorRT, if they are usable
    sanitizer  the small tests under compute-sanitizer, if it is installed; minutes
    long       whole clips against the CPU, and two million target-frames; minutes

It writes gpu_DATE.json after each row: the machine, the commit, the results, and which requirements ("bars") are met. A
part that raises an exception is recorded with it, and the next part runs. Finished parts of the same day, commit and
machine are kept. At the end of the budget the rest is left out; `left_out` names it.

Exit code 0: all bars are met and no test failed. 1: no GPU, a test failed, none ran, or a part raised an exception.
3: a bar is not met or not measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]  # the folder benchmarks/gpu, also if this is loaded by its path

from dcfnet.errors import DcfnetError  # noqa: E402
from dcfnet_evaluation.rendered import Clip, render_clip  # noqa: E402

from benchmarks.gpu import report as reports  # noqa: E402
from benchmarks.gpu import suites, updates, yardstick  # noqa: E402
from benchmarks.gpu.budget import Budget  # noqa: E402

FRAMES = 60
Result = Iterable[dict[str, Any]] | dict[str, Any]


@cache
def clip() -> Clip:
    """The rendered clip. Its frames are drawn once."""
    return render_clip(FRAMES, *reports.SIZE, occluder=False).kept()


PARTS: dict[str, Callable[[Budget], Result]] = {
    "times": lambda budget: updates.times(clip()),
    "yardstick": lambda budget: yardstick.yardstick(),
    "tests": lambda budget: suites.tested(budget, suites.TESTS, f"--ignore={suites.LONG}"),
    "settings": lambda budget: updates.settings(clip()),
    "engines": lambda budget: updates.engines(clip()),
    "sanitizer": suites.sanitized,
    "long": lambda budget: suites.tested(budget, suites.LONG),
}


def run_part(part: str, budget: Budget, report: dict[str, Any], save: Callable[[], None]) -> None:
    """Adds the result of a part to the report; saves it after each row. An exception becomes part of the result."""
    rows: list[dict[str, Any]] = []
    report.pop(part, None)
    try:
        result = PARTS[part](budget)
        if isinstance(result, dict):
            report[part] = result
        else:
            report[part] = rows
            for row in result:
                rows.append(row)
                save()
                if budget.left() <= 0:
                    report["left_out"].append(f"{part}, after {len(rows)} rows")
                    break
    except Exception as error:  # whatever fails here, the other parts are still worth their time
        report[part] = {"exception": repr(error), "traceback": traceback.format_exc(), "rows": rows}
    save()


def device_works() -> bool:
    """Whether this process can still use the GPU: after an illegal address, only a new process can."""
    try:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
    except Exception:
        return False
    return True


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="names, separated by commas")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="leave out what does not fit")
    parser.add_argument("--commit", default=None, help="the commit of these files, if there is no .git here")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the report")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts.split(",")) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return chosen


def main(arguments: list[str] | None = None) -> int:
    chosen = options(sys.argv[1:] if arguments is None else arguments)
    budget, commit = Budget(chosen.budget), chosen.commit or reports.commit_here()
    try:
        file, report = reports.begun(reports.machine(), commit, chosen.output)
    except DcfnetError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        return 1
    if int(report["opencv"].partition(".")[0]) < 5:
        print("gpu_report: OpenCV before 5 samples patches differently; tests that compare boxes with the CPU may fail")
    parts = chosen.parts.split(",")
    before = report.get("left_out", [])
    report["left_out"] = [each for each in before if each.partition(",")[0] not in parts]
    for index, part in enumerate(parts):
        if budget.left() <= 0:
            report["left_out"] += parts[index:]
            break
        run_part(part, budget, report, lambda: reports.write(report, file))
        if parts[index + 1 :] and not device_works():
            return rest_in_a_new_process(parts[index + 1 :], budget, commit, chosen.output)
    reports.write(report, file)
    return conclusion(report, file)


def rest_in_a_new_process(parts: list[str], budget: Budget, commit: str, output: Path) -> int:
    """Runs the other parts in a process that can use the GPU again. Returns its exit code."""
    command = [sys.executable, __file__, "--parts", ",".join(parts), "--commit", commit, "--output", str(output)]
    timeout = budget.timeout()
    return subprocess.run(command + ([] if timeout is None else ["--budget", str(timeout)])).returncode


def conclusion(report: dict[str, Any], file: Path) -> int:
    """Prints the bars and what went wrong. Returns the exit code."""
    for bar in report["bars"]:
        verdict = "" if bar["met"] else ", NOT MET" if bar["found"] is not None else ", NOT MEASURED"
        print(f"{bar['bar']}: asked {bar['asked']}, found {bar['found']}{verdict}")
    wrong = reports.problems(report)
    print(f"left out: {', '.join(report['left_out']) or 'nothing'}")
    print(f"{file}: {'; '.join(wrong) or 'no part and no test failed'}")
    if wrong:
        return 1
    return 0 if all(bar["met"] for bar in report["bars"]) else 3


if __name__ == "__main__":
    sys.exit(main())
