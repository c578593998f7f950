"""Peak memory of a tracker, measured in a process that only opens it and tracks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_evaluation.trackers.contenders import Contender

FRAMES = 60  # frames before the peak is read; by then all buffers have their full size


def peak_memory(contenders: Iterable[Contender], sequence: AnnotatedSequence) -> dict[str, int]:
    """Peak resident memory, bytes, of each tracker over the first frames of the sequence, in a new process.

    It includes the interpreter, the evaluation and the decoded frames, which are the same for all trackers. A tracker
    whose process dies has no entry.
    """
    peaks = {}
    for contender in contenders:
        with suppress(BrokenProcessPool), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            peaks[contender.name] = process.submit(_track, contender, sequence).result()
    return peaks


def _track(contender: Contender, sequence: AnnotatedSequence) -> int:
    run_pass(contender.open(), sequence, limit=FRAMES)
    return _peak()


def _peak() -> int:
    """Peak resident memory of this process, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage includes the peak of the parent
        kilobytes = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if kilobytes:
            return int(kilobytes[1]) * 1024
    import resource  # does not exist on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
