"""Connections that break, on a real server: a window that vanishes while the program works, an upload that stops."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from dcfnet.cli.web.uploads import Uploads
from dcfnet.cli.web.viewer import Viewer
from dcfnet.tracker import MultiTracker

from tests.conftest import make_raw_pipeline

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'web'")
pytest.importorskip("starlette", reason="needs the extra 'web'")
client = pytest.importorskip("websockets.sync.client", reason="needs the extra 'web'")

from dcfnet.cli.web.application import application  # noqa: E402
from dcfnet.cli.web.server import bind  # noqa: E402


class SlowViewer(Viewer):
    """Its answer waits, as during a slow frame."""

    entered, released = Event(), Event()

    def answer(self, request: str) -> str | bytes:
        if "slow" in request:
            SlowViewer.entered.set()
            assert SlowViewer.released.wait(30)
        return super().answer(request)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    """The port of a real server in a thread."""
    tracker, uploads = MultiTracker.of(make_raw_pipeline()), Uploads(folder, 10**6)
    app = application(lambda: SlowViewer(tracker, uploads), uploads)
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with bind(config) as listening:
        listening.listen()
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def test_a_window_that_vanishes_during_a_slow_frame_does_not_stop_the_next_one(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    SlowViewer.entered.clear()
    SlowViewer.released.clear()
    address = f"ws://127.0.0.1:{port}/viewer"
    try:
        with client.connect(address) as first:
            first.send("slow")
            assert SlowViewer.entered.wait(10)
            first.socket.shutdown(socket.SHUT_RDWR)  # without a goodbye, as a browser that is killed
            time.sleep(0.1)
            with client.connect(address) as second:
                second.send(json.dumps({"request": "hello"}))
                assert "hello" in json.loads(second.recv(timeout=10))
    finally:
        SlowViewer.released.set()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_upload_that_stops_leaves_no_file(port: int, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = f"PUT /upload?name=clip.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 500000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(head.encode() + bytes(100_000))
        wait_for(lambda: len(list(folder.iterdir())) == 1)
    wait_for(lambda: list(folder.iterdir()) == [])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
