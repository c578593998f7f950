"""What watches the frames of a run: the metrics, and the events of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from dcfnet.cli.log import is_structured, say, tell_event
from dcfnet.cli.summary import Summary
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Status


class Observer(Protocol):
    """Is told of each frame of a run."""

    def frame(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow], seconds: float | None) -> None:
        """index: 0-based number of the frame. rows: its targets. seconds: of the tracker; None if it did not search."""


class StatusEvents:
    """Writes an event when the status of a target changes, and when frames cannot be decoded."""

    def __init__(self) -> None:
        self._statuses: dict[int, Status | None] = {}
        self._damaged = False

    def frame(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow], seconds: float | None) -> None:
        """See `Observer`."""
        damaged = frame.pixels is None or bool(frame.problem)
        if damaged and not self._damaged:
            tell_event("frame_damaged", _moment(index, frame) | {"problem": frame.problem}, logging.WARNING)
        self._damaged = damaged
        for row in rows:
            status = row.result.status if row.result else None
            if row.id not in self._statuses or self._statuses[row.id] != status:
                _tell_status(index, frame, row)
        for target in self._statuses.keys() - {row.id for row in rows}:
            tell_event("target_ended", _moment(index, frame) | {"target": target})
        self._statuses = {row.id: row.result.status if row.result else None for row in rows}


def _tell_status(index: int, frame: SourceFrame, row: TargetRow) -> None:
    place = _moment(index, frame) | {"target": row.id, "box": [round(value, 2) for value in row.box]}
    if row.result is None:
        tell_event("target_started", place)
        return
    level = logging.WARNING if row.result.status is Status.LOST else logging.INFO
    found = {"status": row.result.status.value, "reason": row.result.reason.value}
    confidence = row.result.confidence
    tell_event("status", place | found | {"confidence": None if confidence is None else round(confidence, 4)}, level)


def _moment(index: int, frame: SourceFrame) -> dict[str, object]:
    return {"frame": index, "frame_time": round(frame.time, 4)}


@contextmanager
def open_observers(address: str | None) -> Iterator[list[Observer]]:
    """The observers of a run. address: of --metrics, None for no server.

    Raises SinkError, and MissingDependencyError without the extra `metrics`.
    """
    observers: list[Observer] = [StatusEvents()] if is_structured() else []
    if address is None:
        yield observers
        return
    from dcfnet.cli.telemetry.health import Health
    from dcfnet.cli.telemetry.metrics import RunMetrics  # an extra
    from dcfnet.cli.telemetry.server import TelemetryServer

    health = Health()
    metrics = RunMetrics(health)
    with TelemetryServer(address, metrics, health) as server:
        say(f"metrics: {server.address}/metrics, {server.address}/health", "telemetry", address=server.address)
        yield [*observers, metrics]


def observed(
    results: Iterator[tuple[SourceFrame, list[TargetRow]]], summary: Summary, observers: Sequence[Observer]
) -> Iterator[tuple[SourceFrame, list[TargetRow]]]:
    """The results; each one is told to the observers before it is written."""
    seconds, updates = summary.seconds, summary.updates
    for index, (frame, rows) in enumerate(results):
        spent = summary.seconds - seconds if summary.updates > updates else None
        seconds, updates = summary.seconds, summary.updates
        for observer in observers:
            observer.frame(index, frame, rows, spent)
        yield frame, rows
