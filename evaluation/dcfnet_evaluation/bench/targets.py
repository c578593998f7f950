"""The cost of many targets: one MultiTracker, 1, 2, 4, ... targets in the same frames."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin, sqrt
from typing import Any, Protocol

import numpy as np
from dcfnet.backend import Frame
from dcfnet.errors import ConfigError, InvalidBoxError
from dcfnet.geometry import Box

from dcfnet_evaluation.bench.figures import Cost, Interval
from dcfnet_evaluation.bench.footage import Footage
from dcfnet_evaluation.bench.laps import Clock
from dcfnet_evaluation.sequences import SequenceError

FRAMES = 40  # timed for each number of targets: whole turns of presets that work every 2nd, 4th, 5th or 8th frame
TRIES = 20  # places that are tried per target before there is said to be no room
GOLDEN_ANGLE = pi * (3 - sqrt(5))  # turns that spread points over a disc


class ManyTracker(Protocol):
    """What the sweep needs of a tracker of many targets."""

    def add(self, frame: Frame, box: Box) -> int:
        """Follows another target; its id. Raises InvalidBoxError where nothing can be followed."""

    def remove(self, target: int) -> None:
        """Follows it no more."""

    def update(self, frame: Frame) -> Mapping[int, Any]:
        """What became of each target, by its id; an answer has a `status`."""


@dataclass(frozen=True)
class Stretch:
    """One run over the head of a sequence. seconds: mean of an update of all targets. lost: share of answers."""

    seconds: float
    lost: float


Sweep = Mapping[str, Mapping[int, Sequence[Stretch]]]  # sequence -> number of targets -> a stretch a repeat


def counts_of(numbers: Sequence[int]) -> tuple[int, ...]:
    """The numbers of targets, in order. Raises ConfigError where one is below 1, or there is no 1 to compare with."""
    if min(numbers) != 1:
        told = ",".join(map(str, numbers))
        raise ConfigError(f"--targets {told}: whole numbers from 1 on, with the 1 that others are compared to; or none")
    return tuple(sorted(set(numbers)))


def run_stretch(
    tracker: ManyTracker, footage: Footage, targets: int, warm_up: int, clock: Clock = time.perf_counter
) -> Stretch:
    """The tracker, empty before and after, with so many targets over the head of a sequence.

    Raises SequenceError where there is no room for them.
    """
    ids = add_targets(tracker, footage, targets)
    seconds, statuses = [], []
    for frame in footage.frames[1 : 1 + warm_up + FRAMES]:
        given = frame.copy()
        began = clock()
        answers = tracker.update(given)
        seconds.append(clock() - began)
        statuses.append([str(answer.status) for answer in answers.values()])
    for target in ids:
        tracker.remove(target)
    told = [status for row in statuses[warm_up:] for status in row]
    return Stretch(float(np.mean(seconds[warm_up:])), told.count("lost") / max(len(told), 1))


def add_targets(tracker: ManyTracker, footage: Footage, targets: int) -> list[int]:
    """Ids of the true target and of others, as large, around it. Raises SequenceError where there is no room."""
    frame, box = footage.frames[0], footage.start.box
    ids: list[int] = []
    for place in spread_boxes(box, (frame.shape[1], frame.shape[0]), targets * TRIES):
        try:
            ids.append(tracker.add(frame.copy(), place))
        except InvalidBoxError:  # a flat patch of sky: the next place
            continue
        if len(ids) == targets:
            return ids
    raise SequenceError(f"{footage.name}: shows something to follow in {len(ids)} places, not in {targets} (--targets)")


def spread_boxes(box: Box, size: tuple[int, int], count: int) -> Iterator[Box]:
    """The box, then others of its size on a spiral around it, all within a frame of `size` (width, height)."""
    yield box
    width, height = (min(side, limit) for side, limit in zip(box.size, size, strict=True))
    for number in range(1, count):
        reach, angle = 1.5 * sqrt(number), GOLDEN_ANGLE * number
        x = box.x + reach * cos(angle) * width
        y = box.y + reach * sin(angle) * height
        yield Box(_folded(x, size[0] - width), _folded(y, size[1] - height), width, height)


def _folded(value: float, limit: float) -> float:
    """The value in [0, limit): what would leave the frame comes in again at the other side."""
    return value % limit if limit > 0 else 0.0


def costs_of(sweep: Sweep) -> list[Cost]:
    """The cost of each number of targets; a sequence counts by the median of its repeats."""
    found = []
    for count in next(iter(sweep.values())):
        each = {name: _seconds(runs[count]) / count for name, runs in sweep.items()}
        ratios = [seconds / _seconds(sweep[name][1]) for name, seconds in each.items()]
        typical = float(np.median(list(each.values()))) * 1000
        lost = float(np.mean([stretch.lost for runs in sweep.values() for stretch in runs[count]]))
        found.append(Cost(count, typical * count, typical, Interval.of(ratios), lost))
    return found


def _seconds(stretches: Sequence[Stretch]) -> float:
    return float(np.median([stretch.seconds for stretch in stretches]))
