"""The recorder of failures: keeps the newest frames, and writes them when the target is lost."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dcfnet.cli.failures.chart import UNMEASURED
from dcfnet.cli.failures.page import PAGE, RESULTS, Failure, failure_body, render
from dcfnet.cli.failures.pictures import RecordedFrame, record, response_picture
from dcfnet.cli.failures.rule import FailureRule
from dcfnet.cli.log import say
from dcfnet.config import TrackerConfig
from dcfnet.errors import DcfnetError, SinkError
from dcfnet.io.files import write_atomically, write_files_atomically
from dcfnet.io.frame import Frame
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Box, Result

SECONDS_BEFORE, SECONDS_AFTER = 3.0, 1.0  # recorded around the start of a failure
# Limits in frames: the lower ones for slow sources, the upper ones for memory. A picture has 60 kB usually, and at most
# about 300 kB (noise): all frames need about 10 MB, and never more than 50 MB; twice as much while they are written.
FRAMES_BEFORE, FRAMES_AFTER = (10, 120), (5, 40)
MOST_FAILURES = 20
MOST_BYTES = 200 * 2**20  # of a run, on the disk
RESPONSE = "response.png"

ResponseMap = Callable[[Frame], NDArray[np.float32]]  # frame -> (R, R)


class FailureRecorder:
    """Writes a folder for each failure, and a page with all of them.

    After it is made it raises no SinkError, so that tracking continues. If a file cannot be written, or at a limit, one
    line on standard error says so, and no more failures are written.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        settings: Mapping[str, object],
        config: TrackerConfig,
        response_map: ResponseMap | None = None,
    ) -> None:
        """Writes the page without failures. source, settings: shown in the page, with the config of the tracker.

        response_map: gives the response map around the present box in a frame; it is called once per failure.
        Raises SinkError if the folder has the failures of an earlier run, or cannot be written.
        """
        check_folder(folder)
        self._folder, self._source, self._config = folder, source, config
        self._settings = {**settings, **config.to_mapping()}
        self._response_map = response_map
        self._rule = FailureRule()
        self._frames: deque[RecordedFrame] = deque()
        self._failures: list[Failure] = []  # recorded, written or not
        self._written: list[Failure] = []
        self._current: Failure | None = None  # started, and not complete yet
        self._response: bytes | None = None  # of the current failure
        self._seen = self._started = self._bytes = 0
        self._failed = False  # a file could not be written, or there are too many bytes
        self._told = False
        self._writer, self._writing = ThreadPoolExecutor(1, "failures"), Future[None]()
        self._writing.set_result(None)
        self._write_page()

    def add(self, index: int, frame: SourceFrame, box: Box, result: Result | None) -> None:
        """Adds frame `index` with its box and result. result: None for the first frame."""
        starts = self._rule.add(index, result) if result else None
        self._seen += 1
        self._mark_ends()
        if self._failed or (len(self._failures) == MOST_FAILURES and self._current is None):
            self._leave_out(starts is not None)
            return
        self._frames.append(record(index, frame, box, result))
        if self._current is None:
            self._forget_old_frames()
            if starts and result:
                self._started += 1
                self._current = Failure(self._started, starts, self._frames[-1])
                self._failures.append(self._current)
                self._response = self._picture_of_response(frame, result)
        elif self._has_enough_after(self._current.start):
            self._write_in_background(self._current)

    def close(self) -> None:
        """Writes the failure that has started, if any, and the final page, and tells where the page is."""
        if self._current:
            self._write_in_background(self._current)
        self._writing.result()
        self._writer.shutdown()
        try:
            self._write_page(ended=True)
        except SinkError as error:
            _tell(f"{error}; the page may lack the last failures")
        _tell(f"{_counted(len(self._written))} recorded in {self._folder / PAGE}")

    def _mark_ends(self) -> None:
        """Notes in which frame failures ended."""
        for failure in self._failures:
            if failure.end is None:
                failure.end = self._rule.end(failure.cause)

    def _forget_old_frames(self) -> None:
        least, most = FRAMES_BEFORE
        newest = self._frames[-1].time
        while len(self._frames) - 1 > most or (
            len(self._frames) - 1 > least and newest - self._frames[0].time > SECONDS_BEFORE
        ):
            self._frames.popleft()

    def _has_enough_after(self, start: RecordedFrame) -> bool:
        newest, (least, most) = self._frames[-1], FRAMES_AFTER
        count = newest.index - start.index
        return count >= most or (count >= least and newest.time - start.time >= SECONDS_AFTER)

    def _picture_of_response(self, frame: SourceFrame, result: Result) -> bytes | None:
        """The response map in this frame as PNG; None if no response was computed in it."""
        if self._response_map is None or frame.pixels is None or result.reason in UNMEASURED:
            return None
        try:
            return response_picture(self._response_map(frame.pixels))
        except DcfnetError:  # for example a GPU that fails: the next update reports it
            return None

    def _write_in_background(self, failure: Failure) -> None:
        """Starts to write a failure on a thread, so that no frame of a camera is missed. At most one is written."""
        self._writing.result()
        self._writing = self._writer.submit(self._write, failure, list(self._frames), self._response)
        self._current = None

    def _write(self, failure: Failure, frames: Sequence[RecordedFrame], response: bytes | None) -> None:
        """Writes the folder of a failure, and the page, unless an earlier one could not be written. On the thread."""
        if self._failed:
            return
        failure.body = failure_body(failure, frames, response, self._config)
        contents = _contents(frames, response)
        self._bytes += len(failure.body) + sum(map(len, contents.values()))
        if self._bytes > MOST_BYTES:
            self._failed = True
            self._tell_limit()
            return
        folder = self._folder / failure.name
        try:
            write_files_atomically({folder / name: content for name, content in contents.items()})
            self._written.append(failure)
            self._write_page()
        except SinkError as error:
            self._failed = self._told = True
            _tell(f"{error}; no more failures are written, tracking continues")
            with suppress(OSError):
                folder.rmdir()  # only if it is empty

    def _leave_out(self, starts: bool) -> None:
        """A frame after the recorder has stopped. starts: a failure starts in it."""
        self._frames.clear()
        if starts:
            self._started += 1
            self._tell_limit()

    def _tell_limit(self) -> None:
        """Tells once that a limit is reached."""
        if not self._told:
            self._told = True
            limit = f"{MOST_FAILURES} failures or {MOST_BYTES // 2**20} MiB in a run"
            _tell(f"the limit is reached ({limit}); no more failures are written, tracking continues")

    def _write_page(self, ended: bool = False) -> None:
        """Writes the page. Raises SinkError."""
        summary = f"{_counted(len(self._written))} recorded in {self._seen} frames."
        if not ended:
            summary += " The run has not ended, or it was ended by force."
        left_out = self._started - len(self._written)
        if left_out and ended:
            summary += f" {left_out} more could not be written, or are beyond the limits of a run."
        page = render(self._source, self._settings, self._written, summary, ended)
        write_atomically(page, self._folder / PAGE)

    def __enter__(self) -> FailureRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_folder(folder: Path) -> None:
    """Raises SinkError if it is not a folder, or has the failures of an earlier run."""
    if os.path.exists(folder) and not os.path.isdir(folder):  # these accept any name, unlike the methods of Path
        raise SinkError(f"{folder}: is not a folder; --record-failures needs a folder, and makes it if it is missing")
    if os.path.exists(folder / PAGE):
        raise SinkError(f"{folder}: has the failures of an earlier run; give another folder, or delete this one")


def _contents(frames: Sequence[RecordedFrame], response: bytes | None) -> dict[str, bytes]:
    """The files of a failure: name -> content."""
    pictures = {frame.name: frame.jpeg for frame in frames if frame.jpeg is not None}
    rows = "".join(json.dumps(frame.row()) + "\n" for frame in frames).encode()
    return pictures | ({RESPONSE: response} if response else {}) | {RESULTS: rows}


def _counted(count: int) -> str:
    return f"{count} failure{'s' * (count != 1)}"


def _tell(text: str) -> None:
    say(f"--record-failures: {text}", "failures")
