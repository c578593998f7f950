"""The web application of the page. Only this module imports starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import PurePath

from dcfnet.cli.web.uploads import Uploads, UploadTooLargeError
from dcfnet.cli.web.viewer import FORMATS, Viewer
from dcfnet.errors import MissingDependencyError, SinkError

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ModuleNotFoundError as error:
    raise MissingDependencyError("starlette", "web") from error

HOSTS = ["127.0.0.1", "localhost"]  # other names for this computer come from pages of others (DNS rebinding)
SCRIPTS = ("page.js", "connection.js", "drawing.js", "panel.js", "picture.js")
PAGE = {"/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css")}
PAGE |= {f"/{script}": (script, "text/javascript") for script in SCRIPTS}
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",  # the page must fit the version of the program
}
REPLACED = 4000  # close code: the page was opened in another window


def application(new_viewer: Callable[[], Viewer], uploads: Uploads) -> Starlette:
    """The application: page, uploads, results, and the WebSocket of the viewer.

    new_viewer: is called for each window that connects. There is one viewer: the newest window.
    """
    state = _State(new_viewer, uploads)
    routes = [
        *(Route(path, _page_file(*content)) for path, content in PAGE.items()),
        Route("/upload", state.upload, methods=["PUT"]),
        *(Route(f"/results.{layout}", state.results) for layout in FORMATS),
        WebSocketRoute("/viewer", state.connect),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    return Starlette(routes=routes, middleware=[hosts, Middleware(SameOrigin), Middleware(SafeHeaders)])


class _State:
    """The viewer of the newest window, and the uploads."""

    def __init__(self, new_viewer: Callable[[], Viewer], uploads: Uploads) -> None:
        self._new_viewer, self._uploads = new_viewer, uploads
        self._viewer: Viewer | None = None
        self._socket: WebSocket | None = None

    async def connect(self, socket: WebSocket) -> None:
        """Answers the requests of a window until it closes, or until another window connects."""
        await socket.accept()
        before, self._socket = self._socket, socket
        self._viewer = viewer = self._new_viewer()
        if before is not None:
            with suppress(WebSocketDisconnect, RuntimeError):  # it has vanished, but its last request is not answered
                await before.close(REPLACED)
        try:
            while self._socket is socket:
                answer = await run_in_threadpool(viewer.answer, await socket.receive_text())
                if self._socket is socket:
                    await (socket.send_text(answer) if isinstance(answer, str) else socket.send_bytes(answer))
        except WebSocketDisconnect:
            pass
        finally:
            await run_in_threadpool(viewer.close)
            if self._socket is socket:
                self._socket = None

    async def upload(self, request: Request) -> Response:
        """Stores the body as a video. Answers 413 if it is too large, 422 if it cannot be stored."""
        length = request.headers.get("content-length", "")
        try:
            announced = int(length) if length.isdecimal() else None
            saved = await self._uploads.save(request.query_params.get("name", ""), announced, request.stream())
        except ClientDisconnect:
            return Response(status_code=400)
        except SinkError as error:
            status = 413 if isinstance(error, UploadTooLargeError) else 422
            return JSONResponse({"error": str(error)}, status_code=status)
        return JSONResponse({"name": saved.name})

    async def results(self, request: Request) -> Response:
        """A file with all results of the newest run: csv or jsonl, by the suffix of the path."""
        layout = request.url.path.rpartition(".")[2]
        run = self._viewer.run if self._viewer else None
        if run is None:
            return PlainTextResponse("there are no results yet; start a target first", status_code=404)
        name = f"{_file_name(run.source.name)}.{layout}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        kind = "text/csv" if layout == "csv" else "application/jsonl"
        return Response(await run_in_threadpool(run.results, layout), media_type=kind, headers=headers)


class SameOrigin:
    """ASGI middleware: answers 403 to requests of pages that another server sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As in ASGI."""
        if scope["type"] in ("http", "websocket"):
            headers = dict(scope["headers"])
            origin, host = headers.get(b"origin"), headers.get(b"host", b"")
            if origin is not None and origin != b"http://" + host:
                text = f"pages of {origin.decode('latin-1')[:200]} may not use this program; open http://{host.decode('latin-1')}"
                await PlainTextResponse(text, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SafeHeaders:
    """ASGI middleware: adds HEADERS, so that a browser runs only the scripts of this page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As in ASGI."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _page_file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """A function that answers with a file of the page."""
    content = files("dcfnet.cli.web").joinpath("page", name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def _file_name(source: str) -> str:
    """A name for the downloads, from that of the source: only letters, digits, dots, lines and underscores."""
    stem = PurePath(source).stem
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in stem)[:60] or "results"
