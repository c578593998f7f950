"""Trackers opened for a benchmark: without clocks for the times, and with clocks for the stages."""

from __future__ import annotations

from dataclasses import dataclass

from dcfnet.config import TrackerConfig
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.tracker import MultiTracker, Tracker

from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet
from dcfnet_evaluation.trackers.stages import ClockedTracker


@dataclass(frozen=True)
class BenchTracker:
    """An open tracker. clocked: the same tracker with clocks around its stages, which cost additional time.

    config: its constants. clocked and config are None for trackers that are not of this project.
    """

    name: str
    tracker: SingleTracker
    clocked: SingleTracker | None = None
    config: TrackerConfig | None = None


def open_for_bench(contender: Contender) -> BenchTracker:
    """Opens the contender. Raises ModelError, ConfigError or MissingDependencyError."""
    if not isinstance(contender, Dcfnet):
        return BenchTracker(contender.name, contender.open())
    pipeline = open_pipeline(contender.model, config=contender.config, engine=contender.engine)
    return BenchTracker(contender.name, Tracker.of(pipeline), ClockedTracker(pipeline), pipeline.config)


def open_multi(contender: Dcfnet) -> MultiTracker:
    """Opens the contender for many targets. Raises the errors of `open_for_bench`."""
    return MultiTracker(contender.model, config=contender.config, engine=contender.engine)
