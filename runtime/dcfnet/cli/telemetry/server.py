"""The HTTP server of --metrics: /metrics for Prometheus and /health, on a thread of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dcfnet.cli.telemetry.health import Health
from dcfnet.cli.telemetry.metrics import RunMetrics
from dcfnet.errors import SinkError

LOOPBACK = "127.0.0.1"
JSON_TYPE, TEXT_TYPE = "application/json", "text/plain; charset=utf-8"
CLIENT_TIMEOUT = 10.0  # s; a client that sends nothing does not keep its thread

Respond = Callable[[str, list[tuple[str, str]]], object]


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) from "PORT" or "HOST:PORT" (a name or IPv4); without a host it is the loopback. Raises SinkError."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise SinkError(f"--metrics {text}: must be PORT or HOST:PORT with a port of 0 to 65535, for example 9108")
    return host or LOOPBACK, int(port)


class TelemetryServer:
    """Answers on an address until it is closed. Requests do not delay the run: each has a thread."""

    def __init__(self, address: str, metrics: RunMetrics, health: Health) -> None:
        """address: as for `parse_address`; port 0 takes a free one. Raises SinkError if it cannot be used."""
        host, port = parse_address(address)
        application = _application(metrics.application(), health)
        try:
            self._server = make_server(host, port, application, _ThreadingServer, _SilentHandler)
        except OSError as error:
            raise SinkError(
                f"--metrics {address}: cannot be used ({error.strerror}); choose another port or host"
            ) from error
        self.address = f"http://{host}:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="dcfnet-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> TelemetryServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: standard error has the messages of the run."""


def _application(metrics: Callable[..., Iterable[bytes]], health: Health) -> Callable[..., Iterable[bytes]]:
    """WSGI: /metrics, /health, and 404 for other paths."""

    def respond(request: dict[str, Any], start: Respond) -> Iterable[bytes]:
        if request["PATH_INFO"] == "/metrics":
            return metrics(request, start)
        if request["PATH_INFO"] != "/health":
            start("404 Not Found", [("Content-Type", TEXT_TYPE)])
            return [b"not found; the paths are /metrics and /health\n"]
        report = health.report()
        start(
            "200 OK" if report["state"] == "ok" else "503 Service Unavailable",
            [("Content-Type", JSON_TYPE), ("Cache-Control", "no-store")],
        )
        return [json.dumps(report).encode() + b"\n"]

    return respond
