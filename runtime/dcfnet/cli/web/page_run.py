"""A run of the page: one video, one target whose box the user draws, and the results until now."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from itertools import chain

from dcfnet.cli.summary import Summary, describe_box_error, track
from dcfnet.cli.targets.run_targets import RunTargets, TargetPlan
from dcfnet.cli.targets.starts import numbered
from dcfnet.cli.web.view import View
from dcfnet.errors import InvalidBoxError, InvalidFrameError, NotInitialisedError, SourceError
from dcfnet.io.frame import Array, Frame
from dcfnet.io.sinks.boxes import FORMATS, HEADERS, LIVE_COLUMNS, BoxLine
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.result import Box, Result, Status
from dcfnet.tracker import MultiTracker

KEPT_RESULTS = 100_000  # of the newest frames; about 50 MB, one hour at 30 frames per second


class PageRun:
    """Reads one frame for each call of `advance`, so a slow viewer makes the run slow, and nothing queues."""

    def __init__(self, tracker: MultiTracker, source: FrameSource) -> None:
        """Reads the first frame. tracker: without targets; it is copied, so it can be shared. Raises SourceError."""
        self.source = source
        self._empty, self._tracker, self._frames = tracker, tracker, iter(source)
        first = next(self._frames)
        if first.pixels is None:  # no source does this
            raise SourceError(f"{source.name}: the first frame {first.problem}")
        self._newest, self._pixels, self._index = first, first.pixels, 0
        self._results: Iterator[tuple[SourceFrame, list[TargetRow]]] | None = None
        self._rows: deque[BoxLine] = deque(maxlen=KEPT_RESULTS)

    @property
    def first_view(self) -> View:
        """The newest frame, without a box."""
        return View(self._index, self._newest.time, self._pixels, preview=self.can_preview)

    @property
    def can_preview(self) -> bool:
        """Whether `preview` can be called: the source is live, and there was no start."""
        return self.source.live and self._results is None

    def preview(self) -> View | None:
        """Reads a newer frame of a live source, before the start. None at its end.

        The first frame of a camera is often dark. Raises SourceError.
        """
        frame = next(self._frames, None)
        if frame is None:
            return None
        if frame.pixels is not None:
            self._newest, self._pixels = frame, frame.pixels
        return self.first_view

    def start(self, box: Box) -> View:
        """Starts the target in the newest frame, or starts again there: the box replaces that of the tracker.

        box: frame pixels; it is limited to the frame. Raises InvalidBoxError; then the run is as before.
        """
        tracker, shown = copy.copy(self._empty), self._newest._replace(pixels=self._pixels)
        targets = RunTargets(tracker, TargetPlan(numbered([box])))
        results = track(targets, chain([shown], self._frames), Summary())
        try:
            self._newest, (row,) = next(results)
        except InvalidBoxError as error:
            raise InvalidBoxError(describe_box_error(error, self.source, self._pixels)) from error
        if self._results is not None:
            self._tracker.close()
        self._tracker, self._results = tracker, results
        if self._rows and self._rows[-1].frame == self._index:
            self._rows.pop()
        return self._view(row.box, None)

    def advance(self, with_response: bool = False) -> View | None:
        """Tracks the next frame; None at the end. with_response: also the response map, for the time of a search pass.

        Raises NotInitialisedError before `start`, and SourceError if the source fails.
        """
        if self._results is None:
            raise NotInitialisedError("the next frame before the start: draw a box first")
        try:
            self._newest, (row,) = next(self._results)
        except StopIteration:
            return None
        self._index += 1
        if self._newest.pixels is not None:
            self._pixels = self._newest.pixels  # a hole shows the frame before it
        return self._view(row.box, row.result, self._response() if with_response else None)

    def close(self) -> None:
        """Ends reading. The results stay."""
        self.source.close()

    def results(self, layout: str) -> str:
        """The content of a box file with all results. layout: csv or jsonl."""
        lines = [HEADERS[layout] + LIVE_COLUMNS * self.source.live] if layout in HEADERS else []
        lines += [line for row in list(self._rows) if (line := FORMATS[layout](row)) is not None]
        return "".join(f"{line}\n" for line in lines)

    def summary(self) -> str:
        """One line about the run."""
        lost = sum(row.result is not None and row.result.status is Status.LOST for row in list(self._rows))
        return f"{self._index + 1} frames, lost in {lost}"

    def _view(self, box: Box, result: Result | None, response: Array | None = None) -> View:
        line = BoxLine(self._index, box, result, self._newest.time, self._newest.delay)
        self._rows.append(line)
        return View(self._index, self._newest.time, self._pixels, line, response)

    def _response(self) -> Array | None:
        """The response map in the newest frame; None if the frame has no pixels to search."""
        frame: Frame | None = self._newest.pixels
        if frame is None:
            return None
        try:
            return self._tracker.response_maps(frame)[0]
        except InvalidFrameError:
            return None
