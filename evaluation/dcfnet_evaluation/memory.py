"""How much memory a tracker takes: the peak of a process that does nothing but open it and track."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from dcfnet_evaluation.contenders import Contender
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.sequences import AnnotatedSequence

FRAMES = 60  # tracked before the peak is read: buffers are at their size by then


def peak_memory(contenders: Iterable[Contender], sequence: AnnotatedSequence) -> dict[str, int]:
    """Peak resident memory, bytes, of a fresh process per tracker over the first frames of the sequence.

    The interpreter, the evaluation and the decoded frames are part of it, the same for all. A tracker whose
    process dies has no figure.
    """
    found = {}
    for contender in contenders:
        with suppress(BrokenProcessPool), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found[contender.name] = process.submit(_track, contender, sequence).result()
    return found


def _track(contender: Contender, sequence: AnnotatedSequence) -> int:
    run_pass(contender.open(), sequence, limit=FRAMES)
    return _peak()


def _peak() -> int:
    """Peak resident memory of this process, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage would hand the parent's peak down to its children
        kilobytes = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if kilobytes:
            return int(kilobytes[1]) * 1024
    import resource  # not on Windows, where this fails and nothing else

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
