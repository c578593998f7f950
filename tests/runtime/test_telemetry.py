"""Metrics and /health of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from dcfnet.cli.telemetry.health import Health
from dcfnet.errors import SinkError
from dcfnet.result import Box, Reason, Result, Status

parser = pytest.importorskip("prometheus_client.parser", reason="needs the extra 'metrics'")

from dcfnet.cli.telemetry.metrics import LABELLED_TARGETS, RunMetrics  # noqa: E402
from dcfnet.cli.telemetry.server import TelemetryServer, parse_address  # noqa: E402


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock, stalled_after=2.0)


@pytest.fixture
def metrics(health: Health) -> RunMetrics:
    return RunMetrics(health)


@pytest.fixture
def server(metrics: RunMetrics, health: Health) -> Iterator[TelemetryServer]:
    with TelemetryServer("0", metrics, health) as server:
        yield server


def result(status: Status = Status.TRACKED, reason: Reason = Reason.FOUND, confidence: float | None = 0.75) -> Result:
    return Result(Box(1, 2, 3, 4), 0.5, 8.0, 10.0, status, reason, 0.4, confidence)


def read(server: TelemetryServer, path: str) -> tuple[int, str]:
    try:
        with urlopen(server.address + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(server: TelemetryServer) -> dict[tuple[str, tuple[str, ...]], float]:
    """All values, by the name and the values of the sorted labels, as Prometheus' own parser reads them."""
    code, text = read(server, "/metrics")
    assert code == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_of_three_frames_parse_and_add_up(server: TelemetryServer, metrics: RunMetrics) -> None:
    metrics.frame({0: result(), 4: result(Status.UNCERTAIN, Reason.LOW_PSR, 0.25)}, seconds=0.015, age=0.08)
    metrics.frame({0: result(), 4: result(Status.LOST, Reason.LOW_PSR, 0.05)}, seconds=0.6, age=0.05)
    metrics.frame({0: result(Status.LOST, Reason.BAD_FRAME, 0.0)})
    metrics.skipped(3)
    found = samples(server)
    assert found["dcfnet_frames_total", ("searched",)] == 2
    assert found["dcfnet_frames_total", ("undecoded",)] == 1
    assert found["dcfnet_frames_total", ("skipped",)] == 3
    assert found["dcfnet_results_total", ("found", "tracked")] == 2
    assert found["dcfnet_results_total", ("low_psr", "lost")] == 1
    assert found["dcfnet_results_total", ("bad_frame", "lost")] == 1
    assert found["dcfnet_frame_time_seconds_count", ()] == 2
    assert found["dcfnet_frame_time_seconds_sum", ()] == pytest.approx(0.615)
    assert found["dcfnet_frame_time_seconds_bucket", ("0.02",)] == 1
    assert found["dcfnet_frame_time_seconds_bucket", ("0.5",)] == 1
    assert found["dcfnet_frame_age_seconds", ()] == 0.05
    assert found["dcfnet_confidence_count", ()] == 5
    assert found["dcfnet_confidence_bucket", ("0.3",)] == 3
    assert found["dcfnet_targets", ()] == 1
    assert found["dcfnet_target_confidence", ("0",)] == 0.0
    assert ("dcfnet_target_confidence", ("4",)) not in found, "the target is no longer tracked"


def test_many_targets_do_not_make_many_time_series(server: TelemetryServer, metrics: RunMetrics) -> None:
    for first in range(0, 500, 50):
        metrics.frame({target: result() for target in range(first, first + 50)}, seconds=0.01)
        labelled = [name for name, _ in samples(server) if name == "dcfnet_target_confidence"]
        assert len(labelled) == (LABELLED_TARGETS if first == 0 else 0)
    metrics.frame({3: result(), 400: result()}, seconds=0.01)
    assert [labels for name, labels in samples(server) if name == "dcfnet_target_confidence"] == [("3",)]


def test_results_without_a_confidence_are_counted(server: TelemetryServer, metrics: RunMetrics) -> None:
    metrics.frame({0: result(confidence=None)}, seconds=0.01)
    found = samples(server)
    assert found["dcfnet_results_total", ("found", "tracked")] == 1
    assert found["dcfnet_confidence_count", ()] == 0


def test_health_is_503_before_the_first_frame_and_when_frames_stop(
    server: TelemetryServer, metrics: RunMetrics, clock: Clock
) -> None:
    code, text = read(server, "/health")
    assert (code, json.loads(text)["state"]) == (503, "starting")
    metrics.frame({0: result()}, seconds=0.01)
    clock.now += 1.9
    code, text = read(server, "/health")
    assert (code, json.loads(text)) == (200, {"state": "ok", "frames": 1, "seconds_since_frame": 1.9})
    assert samples(server)["dcfnet_seconds_since_frame", ()] == pytest.approx(1.9)
    clock.now += 0.2
    metrics.frame({0: result(Status.LOST, Reason.BAD_FRAME)})
    metrics.frame({0: result(Status.UNCERTAIN, Reason.FROZEN_FRAME)})
    code, text = read(server, "/health")
    assert (code, json.loads(text)["state"]) == (503, "stalled"), "only new pictures count"
    metrics.frame({0: result(Status.LOST, Reason.LOW_PSR)}, seconds=0.01)
    assert read(server, "/health")[0] == 200, "a lost target is no fault of the source"


def test_another_path_is_404_and_names_the_paths(server: TelemetryServer) -> None:
    code, text = read(server, "/")
    assert code == 404
    assert "/metrics" in text
    assert "/health" in text


def test_a_port_in_use_is_one_clear_line(server: TelemetryServer, metrics: RunMetrics, health: Health) -> None:
    port = server.address.rpartition(":")[2]
    with pytest.raises(SinkError, match=rf"--metrics {port}: cannot be used .*choose another"):
        TelemetryServer(port, metrics, health)


@pytest.mark.parametrize(
    ("text", "address"),
    [("9108", ("127.0.0.1", 9108)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("robot:9108", ("robot", 9108))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "http", "65536", "-1", "localhost:", "9108 "])
def test_a_wrong_address_names_the_rule(text: str) -> None:
    with pytest.raises(SinkError, match="must be PORT or HOST:PORT"):
        parse_address(text)
