"""Cost of many targets: one MultiTracker with 1, 2, 4, ... targets in the same frames."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin, sqrt
from typing import Any, Protocol

import numpy as np
from dcfnet.errors import ConfigError, InvalidBoxError
from dcfnet.io.frame import Frame
from dcfnet.result import Box

from dcfnet_evaluation.bench.times.figures import Cost, Interval
from dcfnet_evaluation.bench.times.footage import Footage
from dcfnet_evaluation.bench.times.laps import Clock
from dcfnet_evaluation.sequences import SequenceError

FRAMES = 40  # timed frames for each number of targets; a multiple of the update intervals 2, 4, 5 and 8
TRIES = 20  # places to try per target
GOLDEN_ANGLE = pi * (3 - sqrt(5))  # rad; successive turns by it spread points evenly over a disc


class ManyTracker(Protocol):
    """The interface of a tracker of many targets."""

    def add(self, frame: Frame, box: Box) -> int:
        """Adds a target and returns its id. Raises InvalidBoxError if it cannot be tracked."""

    def remove(self, target: int) -> None:
        """Removes a target."""

    def update(self, frame: Frame) -> Mapping[int, Any]:
        """Target id -> result with a `status`."""


@dataclass(frozen=True)
class TargetsRun:
    """A run over the first frames of a sequence. seconds: mean time of an update. lost: share of lost results."""

    seconds: float
    lost: float


Sweep = Mapping[str, Mapping[int, Sequence[TargetsRun]]]  # sequence -> number of targets -> one run per repeat


def parse_target_counts(numbers: Sequence[int]) -> tuple[int, ...]:
    """Sorts the numbers of targets. Raises ConfigError if one is below 1 or if 1 is missing."""
    if min(numbers) != 1:
        numbers_text = ",".join(map(str, numbers))
        raise ConfigError(
            f"--targets {numbers_text}: must be none, or whole numbers of at least 1 that include 1 for comparison"
        )
    return tuple(sorted(set(numbers)))


def time_targets(
    tracker: ManyTracker, footage: Footage, targets: int, warm_up: int, clock: Clock = time.perf_counter
) -> TargetsRun:
    """Times the tracker with `targets` targets over the first frames of a sequence. It has no targets before and after.

    Raises SequenceError if the first frame has too few places with texture.
    """
    ids = add_targets(tracker, footage, targets)
    seconds, statuses = [], []
    for frame in footage.frames[1 : 1 + warm_up + FRAMES]:
        frame_copy = frame.copy()
        start_time = clock()
        results = tracker.update(frame_copy)
        seconds.append(clock() - start_time)
        statuses.append([str(result.status) for result in results.values()])
    for target in ids:
        tracker.remove(target)
    all_statuses = [status for row in statuses[warm_up:] for status in row]
    return TargetsRun(float(np.mean(seconds[warm_up:])), all_statuses.count("lost") / max(len(all_statuses), 1))


def add_targets(tracker: ManyTracker, footage: Footage, targets: int) -> list[int]:
    """Adds the true target and others of its size around it; returns their ids. Raises SequenceError."""
    frame, box = footage.frames[0], footage.start.box
    ids: list[int] = []
    for place in spread_boxes(box, (frame.shape[1], frame.shape[0]), targets * TRIES):
        try:
            ids.append(tracker.add(frame.copy(), place))
        except InvalidBoxError:  # a region without texture: try the next place
            continue
        if len(ids) == targets:
            return ids
    raise SequenceError(
        f"{footage.name}: the first frame has {len(ids)} places with texture for {targets} targets; use fewer --targets"
    )


def spread_boxes(box: Box, size: tuple[int, int], count: int) -> Iterator[Box]:
    """Yields the box, then boxes of its size on a spiral around it, inside a frame of `size` (width, height)."""
    yield box
    width, height = (min(side, limit) for side, limit in zip(box.size, size, strict=True))
    for number in range(1, count):
        radius, angle = 1.5 * sqrt(number), GOLDEN_ANGLE * number
        x = box.x + radius * cos(angle) * width
        y = box.y + radius * sin(angle) * height
        yield Box(_wrap(x, size[0] - width), _wrap(y, size[1] - height), width, height)


def _wrap(value: float, limit: float) -> float:
    """Wraps the value into [0, limit): a box that leaves the frame enters at the other side."""
    return value % limit if limit > 0 else 0.0


def target_costs(sweep: Sweep) -> list[Cost]:
    """The cost of each number of targets, from the median over the repeats of each sequence."""
    costs = []
    for count in next(iter(sweep.values())):
        per_target = {name: _seconds(runs[count]) / count for name, runs in sweep.items()}
        ratios = [seconds / _seconds(sweep[name][1]) for name, seconds in per_target.items()]
        median = float(np.median(list(per_target.values()))) * 1000
        lost = float(np.mean([run.lost for runs in sweep.values() for run in runs[count]]))
        costs.append(Cost(count, median * count, median, Interval.of(ratios), lost))
    return costs


def _seconds(runs: Sequence[TargetsRun]) -> float:
    return float(np.median([run.seconds for run in runs]))
