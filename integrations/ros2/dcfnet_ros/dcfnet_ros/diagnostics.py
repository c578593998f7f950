"""The state of the node, as diagnostic_msgs shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from dcfnet_ros.following import Counts


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Report(NamedTuple):
    """One DiagnosticStatus. values: text by name."""

    level: Level
    message: str
    values: dict[str, str]


@dataclass
class Timing:
    """Times of the frames since the last report, s. age: from the stamp of an image to its result, by the ROS clock."""

    frames: int = 0
    last_age: float = 0.0
    largest_age: float = 0.0
    computing: float = 0.0
    largest_computing: float = 0.0

    def add(self, age: float, computing: float) -> None:
        """Adds a frame. computing: time from its arrival in the node to its result."""
        self.frames += 1
        self.last_age, self.largest_age = age, max(self.largest_age, age)
        self.computing += computing
        self.largest_computing = max(self.largest_computing, computing)


def report(
    timing: Timing,
    period: float,
    silence: float | None,
    counts: Counts,
    statuses: Mapping[str, int],
    problem: str,
    max_age: float,
    stale_after: float,
) -> Report:
    """The report of the last `period` seconds. silence: time since the last image; None before the first one.

    problem: why the newest image could not be read; "" if it could.
    """
    values = {
        "frames per second": f"{timing.frames / period:.1f}" if period > 0 else "0.0",
        "frame age, last (ms)": f"{timing.last_age * 1e3:.1f}",
        "frame age, largest (ms)": f"{timing.largest_age * 1e3:.1f}",
        "time per frame, mean (ms)": f"{timing.computing / max(timing.frames, 1) * 1e3:.1f}",
        "time per frame, largest (ms)": f"{timing.largest_computing * 1e3:.1f}",
        "frames": str(counts.frames),
        **{f"targets {status}": str(number) for status, number in statuses.items()},
        "targets started": str(counts.started),
        "targets ended": str(counts.ended),
        "corrections": str(counts.corrections),
        "box messages without their frame": str(counts.unused),
    }
    level, message = _level(timing, silence, statuses, problem, max_age, stale_after)
    return Report(level, message, values)


def _level(
    timing: Timing, silence: float | None, statuses: Mapping[str, int], problem: str, max_age: float, stale_after: float
) -> tuple[Level, str]:
    """The most important fact first."""
    if problem:
        return Level.ERROR, problem
    if silence is None:
        return Level.STALE, "no image yet; remap the topic image to the topic of the camera"
    if silence > stale_after:
        return Level.ERROR, f"no image for {silence:.1f} s"
    targets = sum(statuses.values())
    if targets and statuses["lost"] == targets:
        return Level.WARN, f"all {targets} targets are lost"
    if timing.largest_age > max_age:
        return Level.WARN, f"a result was {timing.largest_age * 1e3:.0f} ms old; the limit is {max_age * 1e3:.0f} ms"
    return Level.OK, f"{targets} target{'s' * (targets != 1)}, {statuses['lost']} lost" if targets else "no target"
