"""The time that a report may take."""

from __future__ import annotations

import time


class Budget:
    """Seconds that are left, from the start of this object. None: no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = float("inf") if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; infinite without a limit."""
        return self._end - time.monotonic()

    def timeout(self) -> float | None:
        """What is left, for `subprocess`, which writes None for no limit."""
        return None if self._end == float("inf") else max(self.left(), 0.0)
