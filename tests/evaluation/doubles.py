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


class Vandal(Identity):
    """Draws into the frame that it is given, as people do to see what happens."""

    def update(self, frame: np.ndarray) -> Box:
        frame[:] = 0
        return self.box


class Odd(Identity):
    """Answers what no list of faults would think of, and in the end leaves."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box, self.frames = box, 0

    def update(self, frame: np.ndarray) -> Any:
        class Trap:
            @property
            def box(self) -> Any:
                raise ZeroDivisionError("a trap")

        self.frames += 1
        if self.frames > 2:
            raise SystemExit(5)
        return [Trap(), (10**400, 1, 2, 3)][self.frames - 1]


class NeverOpens:
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


class NeverStarts(Identity):
    """Raises in init."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        raise ValueError("no model")
