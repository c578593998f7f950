"""Trackers opened for a benchmark: bare where they are timed, between clocks where the stages are told apart."""

from __future__ import annotations

from dataclasses import dataclass

from dcfnet.config import TrackerConfig
from dcfnet.tracker import MultiTracker, Tracker, open_pipeline

from dcfnet_evaluation.contenders import Contender, Dcfnet
from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.stages import ClockedTracker


@dataclass(frozen=True)
class Contestant:
    """A tracker ready to run. clocked: the same with its stages told apart, which takes time of its own.

    config: its constants; both are None for trackers of others.
    """

    name: str
    tracker: SingleTracker
    clocked: SingleTracker | None = None
    config: TrackerConfig | None = None


def enter(contender: Contender) -> Contestant:
    """The contender, opened. Raises ModelError, ConfigError and MissingDependencyError."""
    if not isinstance(contender, Dcfnet):
        return Contestant(contender.name, contender.open())
    pipeline = open_pipeline(contender.model, config=contender.config, engine=contender.engine)
    return Contestant(contender.name, Tracker.of(pipeline), ClockedTracker(pipeline), pipeline.config)


def open_multi(contender: Dcfnet) -> MultiTracker:
    """The contender for many targets. Raises as `enter` does."""
    return MultiTracker(contender.model, config=contender.config, engine=contender.engine)
