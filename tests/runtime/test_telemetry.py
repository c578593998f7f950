"""What a run tells to other programs: metrics, /health, and messages as JSON."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.cli.telemetry.health import Health
from dcfnet.errors import SinkError
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import Delay, SourceFrame
from dcfnet.result import Box, Reason, Result, Status
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import write_images

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


PIXELS = np.zeros((4, 4, 3), np.uint8)


def add(
    metrics: RunMetrics, results: dict[int, Result], seconds: float | None = 0.01, frame: SourceFrame | None = None
) -> None:
    """One more frame with the results of its targets."""
    rows = [TargetRow(target, result.box, result) for target, result in results.items()]
    metrics.frame(0, frame or SourceFrame(PIXELS, 0.0), rows, seconds)


def read(server: TelemetryServer, path: str) -> tuple[int, str]:
    return fetch(server.address + path)


def fetch(address: str) -> tuple[int, str]:
    try:
        with urlopen(address, timeout=10) as answer:
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
    uncertain, lost = result(Status.UNCERTAIN, Reason.LOW_PSR, 0.25), result(Status.LOST, Reason.LOW_PSR, 0.05)
    add(metrics, {0: result(), 4: uncertain}, 0.015, SourceFrame(PIXELS, 0.0, delay=Delay(0.0, 1, age=0.08)))
    add(metrics, {0: result(), 4: lost}, 0.6, SourceFrame(PIXELS, 0.1, delay=Delay(0.0, 2, age=0.05)))
    add(metrics, {0: result(Status.LOST, Reason.BAD_FRAME, 0.0)}, None, SourceFrame(None, 0.2, "is damaged"))
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
        add(metrics, {target: result() for target in range(first, first + 50)})
        labelled = [name for name, _ in samples(server) if name == "dcfnet_target_confidence"]
        assert len(labelled) == (LABELLED_TARGETS if first == 0 else 0)
    add(metrics, {3: result(), 400: result()})
    assert [labels for name, labels in samples(server) if name == "dcfnet_target_confidence"] == [("3",)]


def test_results_without_a_confidence_are_counted(server: TelemetryServer, metrics: RunMetrics) -> None:
    add(metrics, {0: result(confidence=None)})
    found = samples(server)
    assert found["dcfnet_results_total", ("found", "tracked")] == 1
    assert found["dcfnet_confidence_count", ()] == 0


def test_health_is_503_before_the_first_frame_and_when_frames_stop(
    server: TelemetryServer, metrics: RunMetrics, clock: Clock
) -> None:
    code, text = read(server, "/health")
    assert (code, json.loads(text)["state"]) == (503, "starting")
    add(metrics, {0: result()})
    clock.now += 1.9
    code, text = read(server, "/health")
    assert (code, json.loads(text)) == (200, {"state": "ok", "frames": 1, "seconds_since_frame": 1.9})
    assert samples(server)["dcfnet_seconds_since_frame", ()] == pytest.approx(1.9)
    clock.now += 0.2
    add(metrics, {0: result(Status.LOST, Reason.BAD_FRAME)}, None, SourceFrame(PIXELS, 0.1, "is damaged"))
    add(metrics, {0: result(Status.UNCERTAIN, Reason.FROZEN_FRAME)}, None, SourceFrame(PIXELS, 0.2, frozen=True))
    code, text = read(server, "/health")
    assert (code, json.loads(text)["state"]) == (503, "stalled"), "only new pictures count"
    add(metrics, {0: result(Status.LOST, Reason.LOW_PSR)})
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


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    """Images, of which the fourth and the fifth are broken."""
    folder = tmp_path_factory.mktemp("series")
    write_images(folder, [clip.frame(t) for t in range(12)], [f"{t:02d}.png" for t in range(12)])
    for name in ("03.png", "04.png"):
        (folder / name).write_bytes(b"broken")
    return folder


def run(clip: Clip, *arguments: object) -> tuple[int, str, str]:
    box = ",".join(f"{value:.2f}" for value in clip.box(0))
    result = CliRunner().invoke(app, ["--init", box, "--engine", "dcfnet", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_run_serves_its_metrics_while_it_goes_on(series: Path, clip: Clip) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers: list[tuple[str, int, str]] = []
    ended = False

    def scrape() -> None:
        while not ended:
            for path in ("/health", "/metrics"):
                try:
                    answers.append((path, *fetch(f"http://127.0.0.1:{port}{path}")))
                except OSError:  # not open yet, or closed
                    time.sleep(0.005)

    scraper = Thread(target=scrape)
    scraper.start()
    try:
        code, _, text = run(clip, series, "--metrics", port)
    finally:
        ended = True
        scraper.join()
    assert code == 3, text
    assert f"metrics: http://127.0.0.1:{port}/metrics" in text
    codes = [code for path, code, _ in answers if path == "/health"]
    assert codes[0] == 503, "before the first frame"
    assert codes[-1] == 200
    pages = [text for path, _, text in answers if path == "/metrics"]
    families = {family.name: family for family in parser.text_string_to_metric_families(pages[-1])}
    assert sum(sample.value for sample in families["dcfnet_frames"].samples if sample.name.endswith("_total")) > 3
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/health")


def test_messages_as_json_are_one_object_per_line(series: Path, clip: Clip) -> None:
    code, stdout, stderr = run(clip, series, "--log", "json")
    assert (code, stdout) == (3, "")
    events = [json.loads(line) for line in stderr.splitlines()]
    assert [event["event"] for event in events] == [
        *("run_started", "target_started", "status", "frame_damaged", "status", "status", "problem", "run_ended")
    ]
    assert all(event["time"].endswith("+00:00") for event in events)
    started, first, tracked, damaged, lost, again, problem, ended = events
    assert started["source"] == str(series)
    assert first["box"] == pytest.approx(clip.box(0), abs=0.01)
    assert (tracked["frame"], tracked["status"], tracked["level"]) == (1, "tracked", "info")
    assert tracked["frame_time"] == 0.04
    assert damaged["frame"] == 3
    assert (lost["frame"], lost["reason"], lost["level"]) == (3, "bad_frame", "warning")
    assert (again["frame"], again["status"]) == (5, "tracked")
    assert "2 of 12 images" in problem["message"]
    assert (ended["exit_code"], ended["frames"], ended["lost"], ended["undecoded"]) == (3, 12, 2, 2)


def test_an_error_is_a_json_object_too_and_the_next_run_writes_text_again(clip: Clip) -> None:
    code, _, stderr = run(clip, "missing.mp4", "--log", "json")
    (event,) = [json.loads(line) for line in stderr.splitlines()]
    assert (code, event["exit_code"], event["event"], event["level"]) == (1, 1, "error", "error")
    assert event["message"] == "missing.mp4: no such file or folder"
    assert run(clip, "missing.mp4")[2] == "dcfnet-run: missing.mp4: no such file or folder\n"


def test_a_wrong_layout_of_the_log_names_the_rule(clip: Clip) -> None:
    code, _, stderr = run(clip, "missing.mp4", "--log", "xml")
    assert code == 2
    assert "must be one of text, json" in " ".join(stderr.split())
