"""Metrics of a run for Prometheus. Only this module imports prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dcfnet.cli.telemetry.health import Health
from dcfnet.errors import MissingDependencyError
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Result

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
except ModuleNotFoundError as error:
    raise MissingDependencyError("prometheus_client", "metrics") from error

# s. A camera of 30 Hz gives 33 ms per frame, one of 100 Hz 10 ms.
FRAME_TIME_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LABELLED_TARGETS = 32  # each value of a label is a time series that Prometheus stores; ids of targets have no limit


class RunMetrics:
    """Counts what a run does. Any thread may read the metrics while another one adds frames."""

    def __init__(self, health: Health) -> None:
        """health: is told of each new frame. Raises MissingDependencyError without the extra `metrics`."""
        self._health, self._registry = health, CollectorRegistry()
        with_registry: dict[str, Any] = {"registry": self._registry}
        self._frames = Counter("dcfnet_frames", "Frames by outcome", ["outcome"], **with_registry)
        self._results = Counter("dcfnet_results", "Results of targets", ["status", "reason"], **with_registry)
        self._time = Histogram(
            "dcfnet_frame_time_seconds",
            "Time of the tracker for one frame, all targets",
            buckets=FRAME_TIME_BUCKETS,
            **with_registry,
        )
        self._age = Gauge(
            "dcfnet_frame_age_seconds", "Live source: age of the newest frame at its result; else NaN", **with_registry
        )
        self._age.set(float("nan"))
        self._confidences = Histogram(
            "dcfnet_confidence", "Confidence of each result", buckets=CONFIDENCE_BUCKETS, **with_registry
        )
        self._newest = Gauge(
            "dcfnet_target_confidence",
            f"Newest confidence of a target; the first {LABELLED_TARGETS} targets only",
            ["target"],
            **with_registry,
        )
        self._targets = Gauge("dcfnet_targets", "Targets in the newest frame", **with_registry)
        since = Gauge("dcfnet_seconds_since_frame", "Time since the last new frame; NaN before it", **with_registry)
        since.set_function(lambda: health.seconds_since_frame)
        self._labelled: set[int] = set()
        self._shown: set[int] = set()

    def frame(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow], seconds: float | None) -> None:
        """See `Observer`."""
        outcome = _outcome(frame)
        self._frames.labels(outcome).inc()
        if outcome == "searched":
            self._health.frame()
        if seconds is not None:
            self._time.observe(seconds)
        if frame.delay is not None:
            self._age.set(frame.delay.age)
            self._frames.labels("skipped").inc(frame.delay.skipped)
        self._targets.set(len(rows))
        results = {row.id: row.result for row in rows if row.result}
        for result in results.values():
            self._results.labels(result.status.value, result.reason.value).inc()
            if result.confidence is not None:
                self._confidences.observe(result.confidence)
        self._label(results)

    def application(self) -> Callable[..., Iterable[bytes]]:
        """The WSGI application that answers with the metrics."""
        application: Callable[..., Iterable[bytes]] = make_wsgi_app(self._registry)
        return application

    def _label(self, results: Mapping[int, Result]) -> None:
        """Sets the confidence of each labelled target, and removes targets that are no longer tracked."""
        for target in self._shown - results.keys():
            self._newest.remove(str(target))
        self._shown &= results.keys()
        for target, result in results.items():
            if result.confidence is None or not self._may_label(target):
                continue
            self._newest.labels(str(target)).set(result.confidence)
            self._shown.add(target)

    def _may_label(self, target: int) -> bool:
        if target not in self._labelled and len(self._labelled) < LABELLED_TARGETS:
            self._labelled.add(target)
        return target in self._labelled


def _outcome(frame: SourceFrame) -> str:
    """What happened to the frame: the tracker searched it, or it was undecoded or frozen, so it was not searched."""
    if frame.pixels is None or frame.problem:
        return "undecoded"
    return "frozen" if frame.frozen else "searched"
