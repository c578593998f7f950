"""RTSP, with a real server of GStreamer that stalls, is mute, is killed and is started again."""

from __future__ import annotations

import csv
import itertools
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.errors import SourceError
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.source_frame import SourceFrame
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import rendered, start
from tests.runtime.live.rtsp_process import NEEDS, RtspServer, can_serve, drawn_time


@pytest.fixture(scope="module")
def has_server() -> None:
    """Skips the tests where the server cannot run."""
    if not can_serve():
        pytest.skip(NEEDS)


@pytest.fixture
def server(has_server: None, clip: Clip, tmp_path: Path) -> Iterator[RtspServer]:
    """A running server that shows the clip, 320 x 240."""
    camera = RtspServer(rendered(clip), tmp_path / "frames.yuv")
    camera.run()
    yield camera
    camera.kill()


def true_age(frame: SourceFrame) -> float:
    """Seconds since the server drew the frame, from the clock in its pixels."""
    assert frame.pixels is not None
    return time.monotonic() - drawn_time(frame.pixels)


def watch(frames: Iterator[SourceFrame], seconds: float, work: float = 0.0) -> list[tuple[SourceFrame, float]]:
    """The frames of some seconds with their true ages. The tracker needs `work` seconds for each of them."""
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        frame = next(frames)
        seen.append((frame, true_age(frame)))
        time.sleep(work)
    return seen


def gaps(seen: list[tuple[SourceFrame, float]]) -> list[float]:
    return [frame.delay.gap for frame, _ in seen if frame.delay is not None and frame.delay.gap]


def test_frames_stay_fresh_with_a_slow_tracker(server: RtspServer) -> None:
    with closing(open_source(server.url)) as source:
        frames = iter(source)
        ages = [age for _, age in watch(frames, 2.5, work=0.1)]
    assert np.median(ages[-8:]) < 0.8, "a reader of all frames would be 1.5 s late by now"
    assert source.live


def after_outage(frames: Iterator[SourceFrame], more: int = 15) -> tuple[float, list[float]]:
    """The gap of the next outage, s, and the true ages of the frames behind it. It waits as long as it takes."""
    gap = next(found for frame in frames if (found := frame.delay.gap if frame.delay else None))
    return gap, [true_age(frame) for frame in itertools.islice(frames, more)]


def test_outages_of_a_server(server: RtspServer) -> None:
    """One after the other, on one source: stalled for a moment, stalled, mute, killed and started again."""
    told: list[str] = []
    options = LiveOptions(read_timeout=2.0, tell=told.append)
    with closing(open_source(server.url, live=options)) as source:
        frames = iter(source)
        assert gaps(watch(frames, 0.3)) == []

        server.stop_for(1.2, signal.SIGSTOP, signal.SIGCONT)
        short, _ = after_outage(frames)
        assert short == pytest.approx(1.2, abs=0.5)
        assert told == []

        server.stop_for(3, signal.SIGSTOP, signal.SIGCONT)
        stalled, _ = after_outage(frames)
        assert 2.9 < stalled < 7
        assert "no frame for 2" in told[0]

        server.stop_for(3, signal.SIGUSR1, signal.SIGUSR1)
        mute, _ = after_outage(frames)
        assert 2.9 < mute < 7

        server.kill()
        threading.Timer(0.5, server.run).start()
        killed, ages = after_outage(frames)
        assert 0.5 < killed < 10
        assert np.median(ages) < 0.8, "frames are fresh again"
        assert sum("frames again" in line for line in told) == 3


def test_a_killed_server_ends_a_run_with_its_own_exit_code(server: RtspServer, clip: Clip, tmp_path: Path) -> None:
    boxes = tmp_path / "b.csv"

    def kill_after_some_rows() -> None:
        while not (boxes.exists() and boxes.read_text().count("\n") > 20):
            time.sleep(0.05)
        server.kill()

    threading.Thread(target=kill_after_some_rows, daemon=True).start()
    args = [server.url, "--init", start(clip), "--boxes", str(boxes), "--reconnect", "1", "--engine", "dcfnet"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 4, done.output
    assert re.search(r"no frame for \d\.\d s; connecting again", done.output)
    with boxes.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10
    assert np.median([float(row["age"]) for row in rows[1:]]) < 0.8


def test_a_mute_port_is_an_error_at_the_start() -> None:
    """It accepts the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as port:
        started = time.monotonic()
        url = f"rtsp://127.0.0.1:{port.getsockname()[1]}/camera"
        with pytest.raises(SourceError, match=r"cannot be opened within 0\.5 s; check the address"):
            open_source(url, live=LiveOptions(open_timeout=0.5))
    assert time.monotonic() - started < 8
