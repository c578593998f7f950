"""Tracking against the clock: while a tracker works, frames go by.

A camera of `rate` Hz shows frame i from i / rate to (i + 1) / rate. The tracker takes the newest frame whenever it is
idle, and skips those that went by. Its box counts for every frame that is shown from its arrival on, until the next
one arrives: a late box counts against the frame that is current when it arrives (the streaming accuracy of Li et al.,
ECCV 2020, with the grace of one frame that VOT's real-time experiment gives). The clock is simulated from the measured
time of each call, decoding left out, so a paused machine pauses nothing but the call it strikes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dcfnet_evaluation.passes import Pass, PassRecorder, SingleTracker
from dcfnet_evaluation.protocols import Start, ope
from dcfnet_evaluation.sequences import AnnotatedSequence


def run_against_clock(
    tracker: SingleTracker,
    sequence: AnnotatedSequence,
    rate: float,
    start: Start | None = None,
    limit: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Pass:
    """The pass whose boxes are those that were there when each frame was current.

    rate: frames a second. seconds: of the frames that the tracker took, 0 in those that it skipped.
    Raises SequenceError for a frame that cannot be read.
    """
    start = start or ope(sequence)[0]
    frames = range(start.index, len(sequence))[:limit]
    record = PassRecorder("", tracker, start, clock)
    taken: list[int] = []
    arrivals: list[float] = []
    index, now = 0, 0.0
    while index < len(frames):
        seconds = record.feed(frames[index], sequence.read(frames[index]))
        now = max(now, index / rate) + seconds
        taken.append(index)
        arrivals.append(now)
        index = max(index + 1, int(now * rate))  # idle until the next frame, or the newest one there is
    return _current(record.done(), taken, arrivals, len(frames), rate)


def _current(done: Pass, taken: list[int], arrivals: list[float], frames: int, rate: float) -> Pass:
    """A pass over the frames taken -> over all frames, each with the newest box that had arrived before it ended."""
    ends = (np.arange(frames) + 1) / rate
    newest = np.maximum(np.searchsorted(arrivals, ends, side="left") - 1, 0)
    seconds = np.zeros(frames)
    seconds[taken] = done.seconds
    return replace(
        done,
        boxes=done.boxes[newest],
        statuses=tuple(done.statuses[i] for i in newest),
        psr=done.psr[newest],
        seconds=seconds,
        stages={},
    )
