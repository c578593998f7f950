"""Frames between the thread that reads a live source and the thread that tracks. It never grows."""

from __future__ import annotations

import time
from collections import deque
from threading import Condition

from dcfnet.io.source_frame import Delay, SourceFrame

CAPACITY = 8  # frames that wait if none may be left out; then the reading thread waits too


class FrameBuffer:
    """Holds the newest frame, or with `every_frame` at most CAPACITY frames in their order."""

    def __init__(self, every_frame: bool) -> None:
        self._every_frame = every_frame
        self._frames: deque[SourceFrame] = deque()
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, frame: SourceFrame) -> None:
        """Adds a frame. A newer frame replaces the waiting one, or waits for a free place with `every_frame`."""
        with self._changed:
            if self._every_frame:
                self._changed.wait_for(lambda: len(self._frames) < CAPACITY or self._closed)
            elif self._frames:
                frame = frame._replace(delay=_after(self._frames.pop().delay, frame.delay))
            self._frames.append(frame)
            self._changed.notify_all()

    def take(self, timeout: float) -> SourceFrame | None:
        """The next frame; None if the buffer is closed and empty. Raises TimeoutError, or the error of the reader."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._frames or self._closed, timeout):
                raise TimeoutError
            if self._error is not None:
                raise self._error
            frame = self._frames.popleft() if self._frames else None
            self._changed.notify_all()
            return frame

    def close(self, error: BaseException | None = None) -> None:
        """No more frames come. error: it is raised in the thread that takes the frames."""
        with self._changed:
            self._closed = True
            self._error = self._error or error
            self._changed.notify_all()


def _after(left_out: Delay | None, newer: Delay | None) -> Delay:
    """The delay of a frame that replaces another one: frames that were left out, and gaps, are added."""
    first, last = left_out or Delay(time.monotonic()), newer or Delay(time.monotonic())
    return last._replace(skipped=first.skipped + 1 + last.skipped, gap=first.gap + last.gap)
