"""dcfnet-run on a camera or a stream: rows, messages, exit codes."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dcfnet.cli.delays import Delays
from dcfnet.cli.run import app
from dcfnet.io.sinks.boxes import BoxWriter
from dcfnet.io.source_frame import Delay
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import COUNT, encode, rendered
from tests.runtime.live.mjpeg_server import MjpegServer, serving

SECRET = "hidden"


@pytest.fixture
def camera(clip: Clip) -> MjpegServer:
    """A camera that shows the clip forwards and backwards."""
    order = [*range(clip.length), *range(clip.length - 2, 0, -1)]
    return MjpegServer(lambda number: clip.frame(order[number % len(order)]), rate=30)


def init(clip: Clip) -> str:
    return ",".join(f"{value:.2f}" for value in clip.box(0))


def secret_url(server: MjpegServer) -> str:
    return server.url.replace("://", f"://me:{SECRET}@") + f"?token={SECRET}"


def test_a_run_on_a_stream_that_ends_keeps_its_rows_and_has_its_own_exit_code(
    camera: MjpegServer, clip: Clip, tmp_path: Path
) -> None:
    camera.last = 40
    boxes = tmp_path / "b.csv"
    args = [secret_url(camera), "--init", init(clip), "--boxes", str(boxes), "--reconnect", "0.5", "--engine", "dcfnet"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 4, done.output
    assert "the stream ended after" in done.output
    assert "connecting again" in done.output
    assert SECRET not in done.output + boxes.read_text()
    assert f"http://me:***@127.0.0.1:{camera.port}/stream?token=***" in done.output
    assert " ms (99 %); " in done.output
    with boxes.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 5
    assert all(0 < float(row["age"]) < 1 and int(row["skipped"]) >= 0 for row in rows)
    times = [float(row["time"]) for row in rows]
    assert times == sorted(times)


def test_an_interrupted_run_on_a_stream_tells_its_summary(camera: MjpegServer, clip: Clip, tmp_path: Path) -> None:
    """Ctrl-C is the usual end of such a run."""
    boxes = tmp_path / "b.jsonl"
    command = [sys.executable, "-c", "from dcfnet.cli.run import app; app()", camera.url, "--init", init(clip)]
    command += ["--boxes", str(boxes), "--format", "jsonl", "--every-frame", "--engine", "dcfnet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (boxes.exists() and boxes.read_text().count("\n") > 3):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    camera.stop()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "frames, lost in" in out
    assert "frame age" in out
    rows = [json.loads(line) for line in boxes.read_text().splitlines()]
    assert all({"age", "skipped", "gap", "time"} <= row.keys() for row in rows)
    assert {row["skipped"] for row in rows} == {0}


def test_a_stream_that_is_not_there_is_one_line(clip: Clip) -> None:
    with serving() as server:
        url = secret_url(server)
    done = CliRunner().invoke(app, [url, "--init", init(clip), "--engine", "dcfnet"])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert SECRET not in done.output


def test_a_recording_on_a_web_server_is_read_to_its_end(clip: Clip, tmp_path: Path) -> None:
    """It is no live source: no frame may be left out."""
    encode(tmp_path / "v.mp4", rendered(clip))
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        boxes = tmp_path / "b.csv"
        url = f"http://127.0.0.1:{port}/v.mp4"
        args = [url, "--init", init(clip), "--boxes", str(boxes), "--engine", "dcfnet"]
        done = CliRunner().invoke(app, args)
    finally:
        server.kill()
        server.communicate()
    assert done.exit_code == 0, done.output
    rows = boxes.read_text().splitlines()
    assert len(rows) == 1 + COUNT
    assert rows[0].endswith(",time")


def test_a_wrong_time_to_connect_again_is_one_line(clip: Clip) -> None:
    done = CliRunner().invoke(app, ["0", "--init", init(clip), "--reconnect", "-3"])
    assert done.exit_code == 1
    assert done.output == "dcfnet-run: --reconnect -3: must be a number of seconds, 0 or more\n"


def test_the_columns_of_a_live_source(tmp_path: Path) -> None:
    with BoxWriter(tmp_path / "b.csv", "csv", live=True) as writer:
        writer.write(0, Box(1, 2, 3, 4), None, 0.0, Delay(7.0, 5, 1.25, 0.0125))
    header, row = (line.split(",") for line in (tmp_path / "b.csv").read_text().splitlines())
    assert dict(zip(header, row, strict=True)) | {"age": "0.0125", "skipped": "5", "gap": "1.250"} == dict(
        zip(header, row, strict=True)
    )


def test_ages_are_counted_as_quantiles(rng: np.random.Generator) -> None:
    ages = rng.gamma(2, 0.05, 5000)
    delays = Delays()
    for age in ages:
        delays.add(Delay(0.0, 1, 0.5 * (age > 0.5), float(age)))
    for share in (0.5, 0.99):
        assert delays.age(share) == pytest.approx(np.quantile(ages, share), abs=0.002)
    assert delays.skipped == 5000
    assert delays.gaps == (ages > 0.5).sum()
    assert re.search(rf"; {delays.gaps} gaps?, {delays.gaps / 2:.1f} s in all$", delays.text())
    delays.add(Delay(0.0, age=1e9))
    empty = Delays()
    empty.add(None)
    assert empty.text() == ""
