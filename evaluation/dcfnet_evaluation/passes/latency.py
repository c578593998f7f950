"""Real-time passes: the camera does not wait for the tracker.

A camera of `rate` Hz shows frame i from i / rate to (i + 1) / rate. When the tracker is idle it reads the newest frame
and skips the frames before it. A box is valid from its arrival until the next box arrives. A late box is therefore
scored against the frame that is current when it arrives. This is the streaming accuracy of Li et al., ECCV 2020, with
the one-frame tolerance of VOT's real-time experiment. The clock is simulated: it adds the measured times of the calls,
without decoding, so a pause of the machine affects only the call in progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dcfnet_evaluation.passes.protocols import Start, ope
from dcfnet_evaluation.passes.single_pass import Pass, PassRecorder, SingleTracker
from dcfnet_evaluation.sequences import AnnotatedSequence


def run_against_clock(
    tracker: SingleTracker,
    sequence: AnnotatedSequence,
    rate: float,
    start: Start | None = None,
    limit: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Pass:
    """Runs a tracker in real time. In the returned pass each frame has the newest box that arrived before it ended.

    rate: frames per second. start, limit: as in `run_pass`. The seconds of skipped frames are 0.
    Raises SequenceError if a frame cannot be read.
    """
    start = start or ope(sequence)[0]
    frames = range(start.index, len(sequence))[:limit]
    record = PassRecorder("", tracker, start, clock)
    processed: list[int] = []
    arrivals: list[float] = []
    index, now = 0, 0.0
    while index < len(frames):
        seconds = record.feed(frames[index], sequence.read(frames[index]))
        now = max(now, index / rate) + seconds
        processed.append(index)
        arrivals.append(now)
        index = max(index + 1, int(now * rate))  # waits for the next frame, or skips to the newest one
    return _hold_boxes(record.done(), processed, arrivals, len(frames), rate)


def _hold_boxes(one_pass: Pass, processed: list[int], arrivals: list[float], frames: int, rate: float) -> Pass:
    """Extends a pass over `processed` frames to all frames: each gets the newest box that arrived before it ended."""
    ends = (np.arange(frames) + 1) / rate
    newest = np.maximum(np.searchsorted(arrivals, ends, side="left") - 1, 0)
    seconds = np.zeros(frames)
    seconds[processed] = one_pass.seconds
    return replace(
        one_pass,
        boxes=one_pass.boxes[newest],
        statuses=tuple(one_pass.statuses[i] for i in newest),
        psr=one_pass.psr[newest],
        seconds=seconds,
        stages={},
    )
