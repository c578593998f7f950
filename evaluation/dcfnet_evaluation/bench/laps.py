"""Timed passes: every tracker over every sequence several times, in turns, nothing but the tracker inside the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from dcfnet.config import TrackerConfig
from numpy.typing import NDArray

from dcfnet_evaluation.bench.contestants import Contestant
from dcfnet_evaluation.bench.footage import Footage
from dcfnet_evaluation.passes import Pass, PassRecorder, SingleTracker
from dcfnet_evaluation.sequences import SequenceError

Clock = Callable[[], float]  # seconds


@dataclass(frozen=True)
class Laps:
    """One tracker on one sequence. passes: those that are timed.

    warm_up: updates at the head of each that do not count. clocked: a pass of its own for the stages. config: of this
    project's trackers.
    """

    passes: Sequence[Pass]
    warm_up: int
    clocked: Pass | None = None
    config: TrackerConfig | None = None


def run_laps(
    contestants: Sequence[Contestant],
    footage: Footage,
    turn: int,
    repeats: int,
    warm_up: int,
    stages: bool = True,
    clock: Clock = time.perf_counter,
) -> dict[str, Laps]:
    """All trackers over the sequence, `repeats` times, then those with stages once more between their clocks.

    turn: of the sequence; with it and the repeats the order rotates, so that what else the machine does strikes all
    alike. Raises SequenceError for a sequence that is too short for the warm-up, nothing for what a tracker does.
    """
    check_length(footage.name, len(footage.frames), warm_up)
    passes: dict[str, list[Pass]] = {contestant.name: [] for contestant in contestants}
    for repeat in range(repeats):
        for contestant in rotated(contestants, turn * repeats + repeat):
            passes[contestant.name].append(run_lap(contestant.tracker, footage, clock))
    clocked = {c.name: run_lap(c.clocked, footage, clock) for c in contestants if c.clocked is not None and stages}
    return {c.name: Laps(passes[c.name], warm_up, clocked.get(c.name), c.config) for c in contestants}


def run_lap(tracker: SingleTracker, footage: Footage, clock: Clock = time.perf_counter) -> Pass:
    """One pass over decoded frames. Each is copied outside the clock: a tracker may write into what it is given."""
    recorder = PassRecorder("", tracker, footage.start, clock)
    for index, frame in enumerate(footage.frames):
        recorder.feed(index, frame.copy())
    return recorder.done()


def counted(passes: Sequence[Pass], warm_up: int) -> NDArray[np.float64]:
    """Seconds of the updates of all passes, one after the other, without those of the warm-up."""
    return np.concatenate([done.seconds[1 + warm_up :] for done in passes])


def check_length(name: str, frames: int, warm_up: int) -> None:
    """Raises SequenceError for a sequence of which nothing is left after the warm-up."""
    if frames < warm_up + 2:
        remedy = f"give --warm-up {frames - 2}, or less" if frames > 1 else "leave it out"
        raise SequenceError(f"{name}: its {frames} frames leave no update after --warm-up {warm_up}; {remedy}")


def rotated(entries: Sequence[Contestant], turn: int) -> list[Contestant]:
    """The entries in their order, begun at another one every turn."""
    first = turn % len(entries)
    return [*entries[first:], *entries[:first]]
