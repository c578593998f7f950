"""Timed passes: each tracker runs several times over each sequence, in turns. Only the tracker itself is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from dcfnet.config import TrackerConfig
from numpy.typing import NDArray

from dcfnet_evaluation.bench.times.contestants import BenchTracker
from dcfnet_evaluation.bench.times.footage import Footage
from dcfnet_evaluation.passes import Pass, PassRecorder, SingleTracker
from dcfnet_evaluation.sequences import SequenceError

Clock = Callable[[], float]  # seconds


@dataclass(frozen=True)
class TimedPasses:
    """The timed passes of one tracker over one sequence.

    warm_up: first updates of each pass that do not count. clocked: an additional pass for the stages. config: constants
    of the tracker; None for trackers that are not of this project.
    """

    passes: Sequence[Pass]
    warm_up: int
    clocked: Pass | None = None
    config: TrackerConfig | None = None


def time_trackers(
    trackers: Sequence[BenchTracker],
    footage: Footage,
    turn: int,
    repeats: int,
    warm_up: int,
    stages: bool = True,
    clock: Clock = time.perf_counter,
) -> dict[str, TimedPasses]:
    """Runs all trackers over the sequence `repeats` times, then those with stages once more with clocks.

    turn: index of the sequence. The order rotates with `turn` and the repeats, so that other load on the machine
    affects all trackers equally. Raises SequenceError if the sequence is too short for the warm-up. Exceptions of a
    tracker become failures of its pass.
    """
    check_length(footage.name, len(footage.frames), warm_up)
    passes: dict[str, list[Pass]] = {tracker.name: [] for tracker in trackers}
    for repeat in range(repeats):
        for tracker in rotated(trackers, turn * repeats + repeat):
            passes[tracker.name].append(time_pass(tracker.tracker, footage, clock))
    clocked = {c.name: time_pass(c.clocked, footage, clock) for c in trackers if c.clocked is not None and stages}
    return {c.name: TimedPasses(passes[c.name], warm_up, clocked.get(c.name), c.config) for c in trackers}


def time_pass(tracker: SingleTracker, footage: Footage, clock: Clock = time.perf_counter) -> Pass:
    """Runs one pass over decoded frames. Each frame is copied before the clock starts: a tracker may write into it."""
    recorder = PassRecorder("", tracker, footage.start, clock)
    for index, frame in enumerate(footage.frames):
        recorder.feed(index, frame.copy())
    return recorder.done()


def update_seconds(passes: Sequence[Pass], warm_up: int) -> NDArray[np.float64]:
    """Seconds of the updates of all passes, concatenated, without the warm-up."""
    return np.concatenate([one_pass.seconds[1 + warm_up :] for one_pass in passes])


def check_length(name: str, length: int, warm_up: int) -> None:
    """Raises SequenceError if no update is left after the warm-up."""
    if length < warm_up + 2:
        remedy = f"use at most --warm-up {length - 2}" if length > 1 else "leave out the sequence"
        raise SequenceError(f"{name}: has {length} frames, so no update is left after --warm-up {warm_up}; {remedy}")


def rotated(entries: Sequence[BenchTracker], turn: int) -> list[BenchTracker]:
    """The entries, rotated by `turn` places."""
    first = turn % len(entries)
    return [*entries[first:], *entries[:first]]
