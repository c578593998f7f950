"""Trackers that stand in for real ones, importable by name from another process."""

from __future__ import annotations

from typing import Any

import numpy as np
from dcfnet.geometry import Box


class Identity:
    """Never moves: the field's own test double."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> Box:
        return self.box


class Wandering(Identity):
    """Moves with what it sees, so that a frame skipped or given twice shows in its boxes."""

    def update(self, frame: np.ndarray) -> Box:
        self.box = Box(self.box.x + float(frame.mean()) / 1000, self.box.y + 0.1, self.box.w, self.box.h)
        return self.box


class Failing(Identity):
    """Fails in every way a tracker can, a frame each, and in the end for good."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box, self.frames = box, 0

    def update(self, frame: np.ndarray) -> Any:
        self.frames += 1
        x, y, w, h = self.box
        answers: list[Any] = [None, (), (np.nan, y, w, h), (x, y, 0, h), (x, y, w), "box", (x, y, w, h)]
        if self.frames <= len(answers):
            return answers[self.frames - 1]
        raise RuntimeError("camera fell off")


class NeverStarts(Identity):
    """Raises in init."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        raise ValueError("no model")
