"""A camera with a web server: one JPEG after the other over HTTP. It can be silent, refuse, and stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BITS = 16
Picture = Callable[[int], np.ndarray]


def numbered(number: int) -> np.ndarray:
    """uint8 (32, 256, 3): the number as 16 black or white blocks, which JPEG keeps."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, 256 // BITS)
    return np.repeat(np.repeat(row[None, :, None], 32, 0), 3, 2)


def number_in(frame: np.ndarray | None) -> int:
    """The number in a picture of `numbered`."""
    assert frame is not None
    return sum(int(frame[16, 8 + 16 * bit, 0] > 127) << bit for bit in range(BITS))


class MjpegServer:
    """Serves pictures at a rate, with increasing numbers over all connections. port: 0 chooses a free one."""

    def __init__(self, picture: Picture = numbered, rate: float = 50.0, port: int = 0) -> None:
        self.mute = False  # an open connection sends nothing
        self.frames_per_connection: int | None = None  # then the server closes the connection
        self.last: int | None = None  # number of the picture after which the server stops
        self.requests = self.number = 0
        self._picture, self._interval, self._open = picture, 1 / rate, True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    server.send(self.wfile.write)
                except OSError:  # the reader ended
                    return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream"

    def send(self, write: Callable[[bytes], int]) -> None:
        """Sends the pictures of one connection."""
        sent, limit = 0, self.frames_per_connection
        due = time.monotonic()
        while self._open and (limit is None or sent < limit):
            if self.last is not None and self.number >= self.last:
                threading.Thread(target=self.stop).start()
                return
            if not self.mute:
                content = cv2.imencode(".jpg", self._picture(self.number))[1].tobytes()
                self.number, sent = self.number + 1, sent + 1
                write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content))
                write(content + b"\r\n")
            due = max(due + self._interval, time.monotonic() - self._interval)
            time.sleep(max(due - time.monotonic(), 0))

    def stop(self) -> None:
        """Closes all connections, and refuses new ones."""
        self._open = False
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def serving(picture: Picture = numbered, rate: float = 50.0, port: int = 0) -> Iterator[MjpegServer]:
    """A running server, stopped at the end."""
    server = MjpegServer(picture, rate, port)
    try:
        yield server
    finally:
        server.stop()
