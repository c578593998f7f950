"""The start of the page: a server on the loopback, until Ctrl-C. Only this module imports uvicorn."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dcfnet.cli.log import say
from dcfnet.cli.options import UPLOAD_LIMIT, WEB_PORT
from dcfnet.cli.web.application import application
from dcfnet.cli.web.uploads import MEGABYTE, Uploads
from dcfnet.cli.web.viewer import Viewer
from dcfnet.errors import MissingDependencyError, SinkError
from dcfnet.tracker import MultiTracker

try:
    import uvicorn
    import websockets  # noqa: F401  (uvicorn answers WebSockets only with it)
except ModuleNotFoundError as error:
    raise MissingDependencyError("uvicorn or websockets", "web", str(error)) from error

LOOPBACK = "127.0.0.1"
REQUEST_BYTES = 2**16  # of a request on the WebSocket
ENDING = 2  # s that a browser has to close its connections at the end


def serve_page(
    tracker: MultiTracker,
    given: str | None = None,
    levels: str = "first",
    port: int = WEB_PORT,
    upload_limit: int = UPLOAD_LIMIT,
    topic: str | None = None,
) -> None:
    """Serves the page until Ctrl-C or SIGTERM.

    given: the source of the command line. port: 0 takes a free one. upload_limit: MB of a file. topic: of a given bag.
    Prints the address. Raises SinkError if the port cannot be used.
    """
    with TemporaryDirectory(prefix="dcfnet-", ignore_cleanup_errors=True) as folder:
        uploads = Uploads(Path(folder), upload_limit * MEGABYTE)
        app = application(lambda: Viewer(tracker, uploads, given, levels, topic), uploads)
        config = uvicorn.Config(
            app,
            host=LOOPBACK,
            port=port,
            log_config=None,
            ws_max_size=REQUEST_BYTES,
            ws_per_message_deflate=False,  # a JPEG does not get smaller
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=ENDING,
        )
        with bind(config) as listening, suppress(KeyboardInterrupt):
            listening.listen()  # a browser that is faster than the program waits
            address = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
            say(f"open {address} in a browser; Ctrl-C ends the program", "page", address=address)
            uvicorn.Server(config).run(sockets=[listening])


def bind(config: uvicorn.Config) -> Any:
    """The bound socket of the page. Raises SinkError; uvicorn would print a line of its own and end the program."""
    log = logging.getLogger("uvicorn.error")
    log.disabled = True
    try:
        return config.bind_socket()
    except SystemExit:
        raise SinkError(f"--web-port {config.port}: cannot be used; choose another one, or 0 for a free one") from None
    finally:
        log.disabled = False
