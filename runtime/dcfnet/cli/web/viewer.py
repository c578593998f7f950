"""The requests of a viewer and their answers. Each request gets exactly one answer."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcfnet.cli.web.meanings import MEANINGS
from dcfnet.cli.web.page_run import PageRun
from dcfnet.cli.web.uploads import Uploads
from dcfnet.cli.web.view import View
from dcfnet.errors import DcfnetError, InvalidBoxError, SourceError
from dcfnet.io.addresses import is_pipeline, without_secrets
from dcfnet.io.sources import STDIN, open_source
from dcfnet.result import Box
from dcfnet.tracker import MultiTracker

FORMATS = ("csv", "jsonl")  # of the downloads
GUESSED_CAMERAS = ("0", "1")  # where cameras cannot be listed


class RequestError(DcfnetError):
    """A request that the page does not send."""


class Viewer:
    """Answers requests. The calls must come one after the other, from any thread.

    Requests are JSON objects with the field `request`:

    - `hello`
    - `open` with `source`, or with `upload` or `given` true
    - `preview`, for a newer frame of a live source before the start
    - `start` with `box` [x, y, w, h] in frame pixels
    - `next`, with `response` true for the response map. It says that the frame before it was shown, so a slow viewer
      slows the run down

    Answers are a message of `View.message`, or a JSON object. A JSON object with `error` says in one line what is
    wrong; the viewer can go on.
    """

    def __init__(
        self,
        tracker: MultiTracker,
        uploads: Uploads,
        given: str | None = None,
        levels: str = "first",
        topic: str | None = None,
    ) -> None:
        """tracker: shared by all runs. given: the source of the command line, topic: in it. levels: --range."""
        self._tracker, self._uploads, self._levels = tracker, uploads, levels
        self._given, self._topic = given, topic
        self.run: PageRun | None = None

    def answer(self, request: str) -> str | bytes:
        """The answer to a request: text is a JSON object, bytes are a frame."""
        try:
            fields = json.loads(request)
            handler = HANDLERS.get(str(fields.get("request"))) if isinstance(fields, dict) else None
            if handler is None:
                raise RequestError(f"request {request[:80]!r}: must be one of {', '.join(HANDLERS)}")
            return handler(self, fields)
        except DcfnetError as error:
            return json.dumps({"error": str(error)})
        except (json.JSONDecodeError, RecursionError):
            return json.dumps({"error": f"request {request[:80]!r}: must be a JSON object"})

    def close(self) -> None:
        """Ends reading. The results of the run stay. No call of `answer` may be in progress."""
        if self.run is not None:
            self.run.close()

    def hello(self, fields: dict[str, Any]) -> str:
        """The facts that the page shows before a video is open."""
        given = "standard input" if self._given in STDIN else self._given and without_secrets(self._given)
        facts = {"given": given, "cameras": cameras(), "upload_limit": self._uploads.limit, "meanings": MEANINGS}
        return json.dumps({"hello": facts})

    def open(self, fields: dict[str, Any]) -> bytes:
        """Opens a source, and answers with its first frame. A run before it ends."""
        self.close()
        self.run = None
        if fields.get("upload"):
            self.run = self._open_upload()
        elif fields.get("given") and self._given is not None:
            self.run = self._run(self._given, self._topic)
        else:
            self.run = self._run(allowed_source(str(fields.get("source", ""))))
        return self.run.first_view.message()

    def start(self, fields: dict[str, Any]) -> bytes:
        """Starts the target in the shown frame, and answers with the frame and its box."""
        return self._opened().start(read_box(fields.get("box"))).message()

    def next(self, fields: dict[str, Any]) -> str | bytes:
        """Answers with the next frame, or at the end with a summary."""
        run = self._opened()
        return self._message_or_end(run, lambda: run.advance(with_response=bool(fields.get("response"))))

    def preview(self, fields: dict[str, Any]) -> str | bytes:
        """Answers with a newer frame of a live source, before the start."""
        run = self._opened()
        if not run.can_preview:
            raise RequestError("preview: needs a live source before the start; ask for the next frame")
        return self._message_or_end(run, run.preview)

    def _message_or_end(self, run: PageRun, read: Callable[[], View | None]) -> str | bytes:
        problems: list[str] = []
        try:
            view = read()
            if view is not None:
                return view.message()
        except SourceError as error:  # what was tracked until now is kept
            problems.append(str(error))
        run.close()
        report = run.source.report
        problems += [*report.problems, *filter(None, [report.died])]
        return json.dumps({"ended": {"summary": run.summary(), "problems": problems}})

    def _opened(self) -> PageRun:
        if self.run is None:
            raise RequestError("no video is open; choose one first")
        return self.run

    def _open_upload(self) -> PageRun:
        """A run of the uploaded file. Errors show its name, not the temporary file."""
        upload = self._uploads.newest
        if upload is None:
            raise SourceError("there is no uploaded video; choose a file first")
        try:
            return self._run(str(upload.file))
        except SourceError as error:
            self._uploads.remove()
            raise SourceError(str(error).replace(str(upload.file), upload.name)) from error

    def _run(self, source: str, topic: str | None = None) -> PageRun:
        return PageRun(self._tracker, open_source(source, self._levels, topic=topic))


HANDLERS: dict[str, Callable[[Viewer, dict[str, Any]], str | bytes]]
HANDLERS = {
    "hello": Viewer.hello,
    "open": Viewer.open,
    "preview": Viewer.preview,
    "start": Viewer.start,
    "next": Viewer.next,
}


def allowed_source(text: str) -> str:
    """The source, if a page may open it. Raises SourceError: a pipeline can write files, so it is not for a page."""
    if is_pipeline(text) or text in STDIN:
        raise SourceError(
            f"{text}: the page cannot open a pipeline or standard input; give it to dcfnet-run as the SOURCE of --web"
        )
    return text


def read_box(value: object) -> Box:
    """The box of a request. Raises InvalidBoxError."""
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 4 or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise InvalidBoxError(f"box {value!r:.80}: must be four numbers x, y, width, height; draw a box on the frame")
    return Box(*map(float, numbers))


def cameras() -> list[str]:
    """Names of the cameras of this computer, as sources."""
    if not sys.platform.startswith("linux"):
        return list(GUESSED_CAMERAS)
    return sorted(map(str, Path("/dev").glob("video*")))
