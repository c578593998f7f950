"""Ages, left out frames and gaps of a live source, counted in little memory."""

from __future__ import annotations

import numpy as np

from dcfnet.io.source_frame import Delay

STEP, LONGEST = 0.001, 60.0  # s: ages are counted in classes of one step; the last class has all longer ones


class Delays:
    """Counts of a run that may last for months. skipped: frames left out. gaps: number; silent: their sum, s."""

    def __init__(self) -> None:
        self._counts = np.zeros(round(LONGEST / STEP) + 1, np.int64)
        self.skipped = self.gaps = 0
        self.silent = 0.0

    def add(self, delay: Delay | None) -> None:
        """One more frame; None if the source is not live."""
        if delay is None:
            return
        self._counts[min(int(delay.age / STEP), len(self._counts) - 1)] += 1
        self.skipped += delay.skipped
        self.gaps += 1 if delay.gap > 0 else 0
        self.silent += delay.gap

    def age(self, share: float) -> float:
        """The age that this share of the frames does not exceed, s, rounded up to whole steps. 0 without frames."""
        total = self._counts.sum()
        return float(np.searchsorted(self._counts.cumsum(), share * total) + 1) * STEP if total else 0.0

    def text(self) -> str:
        """The end of the summary of a live source; "" for any other."""
        if not self._counts.any():
            return ""
        ages = f"frame age {self.age(0.5) * 1000:.0f} ms (median), {self.age(0.99) * 1000:.0f} ms (99 %)"
        gaps = f"{self.gaps} gap{'s' * (self.gaps != 1)}, {self.silent:.1f} s in all" if self.gaps else "no gaps"
        return f"; {ages}; {self.skipped} frames skipped; {gaps}"
