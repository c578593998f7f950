"""A run of the page: one video, one target whose box the user draws, and the results until now."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator

from dcfnet.cli.summary import Summary, describe_frame, track
from dcfnet.cli.web.view import View
from dcfnet.errors import InvalidBoxError, InvalidFrameError, NotInitialisedError, SourceError
from dcfnet.io.boxes import FORMATS, HEADERS, LIVE_COLUMNS
from dcfnet.io.frame import Array, Frame, frame_size
from dcfnet.io.source_frame import Delay, FrameSource, SourceFrame
from dcfnet.result import Box, Result, Status
from dcfnet.tracker import Tracker
from dcfnet.tracking.geometry import target_box

KEPT_RESULTS = 100_000  # of the newest frames; about 50 MB, one hour at 30 frames per second


class PageRun:
    """Reads one frame for each call of `advance`, so a slow viewer makes the run slow, and nothing queues."""

    def __init__(self, tracker: Tracker, source: FrameSource) -> None:
        """Reads the first frame. tracker: is copied, so that it can be shared. Raises SourceError."""
        self.source = source
        self._tracker, self._frames = copy.copy(tracker), iter(source)
        first = next(self._frames)
        if first.pixels is None:  # no source does this
            raise SourceError(f"{source.name}: the first frame {first.problem}")
        self._newest, self._pixels, self._index = first, first.pixels, 0
        self._results: Iterator[tuple[SourceFrame, Box, Result | None]] | None = None
        self._rows: deque[tuple[int, Box, Result | None, float, Delay | None]] = deque(maxlen=KEPT_RESULTS)

    @property
    def first_view(self) -> View:
        """The newest frame, without a box."""
        return View(self._index, self._newest.time, self._pixels)

    def start(self, box: Box) -> View:
        """Starts the target in the newest frame, or starts again there: the box replaces that of the tracker.

        box: frame pixels; it is limited to the frame. Raises InvalidBoxError; then the run is as before.
        """
        inside = target_box(box, frame_size(self._pixels))
        try:
            self._tracker.init(self._pixels, inside)
        except InvalidBoxError as error:
            raise InvalidBoxError(f"{error}. {describe_frame(self.source, self._pixels)}") from error
        self._results = track(self._tracker, self._newest, inside, self._frames, Summary())
        self._newest, _, _ = next(self._results)
        if self._rows and self._rows[-1][0] == self._index:
            self._rows.pop()
        return self._view(inside, None)

    def advance(self, with_response: bool = False) -> View | None:
        """Tracks the next frame; None at the end. with_response: also the response map, for the time of a search pass.

        Raises NotInitialisedError before `start`, and SourceError if the source fails.
        """
        if self._results is None:
            raise NotInitialisedError("the next frame before the start: draw a box first")
        try:
            self._newest, box, result = next(self._results)
        except StopIteration:
            return None
        self._index += 1
        if self._newest.pixels is not None:
            self._pixels = self._newest.pixels  # a hole shows the frame before it
        return self._view(box, result, self._response() if with_response else None)

    def close(self) -> None:
        """Ends reading. The results stay."""
        self.source.close()

    def results(self, layout: str) -> str:
        """The content of a box file with all results. layout: csv or jsonl."""
        lines = [HEADERS[layout] + LIVE_COLUMNS * self.source.live] if layout in HEADERS else []
        lines += [line for row in list(self._rows) if (line := FORMATS[layout](*row)) is not None]
        return "".join(f"{line}\n" for line in lines)

    def summary(self) -> str:
        """One line about the run."""
        lost = sum(result is not None and result.status is Status.LOST for _, _, result, *_ in list(self._rows))
        return f"{self._index + 1} frames, lost in {lost}"

    def _view(self, box: Box, result: Result | None, response: Array | None = None) -> View:
        self._rows.append((self._index, box, result, self._newest.time, self._newest.delay))
        return View(self._index, self._newest.time, self._pixels, box, result, response)

    def _response(self) -> Array | None:
        """The response map in the newest frame; None if the frame has no pixels to search."""
        frame: Frame | None = self._newest.pixels
        if frame is None:
            return None
        try:
            return self._tracker.response_maps(frame)[0]
        except InvalidFrameError:
            return None
