"""Starts the RTSP camera of `rtsp_server.py`, and disturbs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.runtime.live.rtsp_server import BITS, BLOCK

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"  # the one that has PyGObject
ELEMENTS = ("appsrc", "jpegenc", "rtpjpegpay")
PROBE = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    f"assert all(map(Gst.ElementFactory.find, {ELEMENTS!r}))"
)


NEEDS = "needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-good"


def can_serve() -> bool:
    """Whether the server runs here."""
    return Path(PYTHON).exists() and not subprocess.run([PYTHON, "-c", PROBE], capture_output=True).returncode


def drawn_time(frame: np.ndarray) -> float:
    """`time.monotonic` at which the server drew the frame (H, W, 3), s, from the clock in its pixels."""
    row = frame[BLOCK // 2, BLOCK // 2 :: BLOCK, 1][:BITS]
    return sum(int(level > 127) << bit for bit, level in enumerate(row)) / 1000


class RtspServer:
    """The server in a process of its own, on a fixed port."""

    def __init__(self, frames: Sequence[np.ndarray], file: Path) -> None:
        """frames: uint8 (H, W, 3) BGR, H and W even, W at least 256; shown again and again. file: to keep them in."""
        file.write_bytes(b"".join(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes() for frame in frames))
        height, width = frames[0].shape[:2]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._arguments = [str(self.port), str(file), str(width), str(height), "30"]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def run(self) -> None:
        """Starts the server; it is ready at the return."""
        self._process = subprocess.Popen(
            [PYTHON, str(SERVER), *self._arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop_for(self, seconds: float, first: signal.Signals, second: signal.Signals) -> None:
        """Sends a signal, and another one after a time."""
        self.send(first)
        threading.Timer(seconds, self.send, (second,)).start()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()  # type: ignore[union-attr]
