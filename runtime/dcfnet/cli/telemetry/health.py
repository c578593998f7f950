"""Whether a run gets frames: the answer of /health."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

STALLED_AFTER = 5.0  # s without a new frame; a camera that reconnects needs up to 3 s


class Health:
    """Knows when the last new frame came. Any thread may call any method."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, stalled_after: float = STALLED_AFTER) -> None:
        """clock: seconds that never decrease. stalled_after: seconds without a new frame until `healthy` is False."""
        self._clock, self._stalled_after = clock, stalled_after
        self._lock = Lock()
        self._frames, self._last = 0, 0.0

    def frame(self) -> None:
        """A new frame was tracked. Do not call it for a frame without pixels or for a frozen frame."""
        with self._lock:
            self._frames, self._last = self._frames + 1, self._clock()

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the last new frame; NaN before the first one."""
        with self._lock:
            return self._clock() - self._last if self._frames else float("nan")

    def report(self) -> dict[str, object]:
        """state: "starting" before the first frame, "ok", or "stalled". frames: new frames until now.

        seconds_since_frame: None before the first frame.
        """
        since = self.seconds_since_frame
        if since != since:
            return {"state": "starting", "frames": 0, "seconds_since_frame": None}
        state = "ok" if since <= self._stalled_after else "stalled"
        return {"state": state, "frames": self._frames, "seconds_since_frame": round(since, 3)}
