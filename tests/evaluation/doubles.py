"""Fake trackers, importable by name from another process."""

from __future__ import annotations

from typing import Any

import numpy as np
from dcfnet.result import Box


class Identity:
    """Never moves, like the identity tracker of the toolkits."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> Box:
        return self.box


class Wandering(Identity):
    """Moves by the content of the frames, so that a skipped or repeated frame changes its boxes."""

    def update(self, frame: np.ndarray) -> Box:
        self.box = Box(self.box.x + float(frame.mean()) / 1000, self.box.y + 0.1, self.box.w, self.box.h)
        return self.box


class Failing(Identity):
    """Gives a different unusable result in each frame, and then raises in every frame."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box, self.frames = box, 0

    def update(self, frame: np.ndarray) -> Any:
        self.frames += 1
        x, y, w, h = self.box
        results: list[Any] = [None, (), (np.nan, y, w, h), (x, y, 0, h), (x, y, w), "box", (x, y, w, h)]
        if self.frames <= len(results):
            return results[self.frames - 1]
        raise RuntimeError("camera fell off")


class Vandal(Identity):
    """Writes into the frame, as debug drawings do."""

    def update(self, frame: np.ndarray) -> Box:
        frame[:] = 0
        return self.box


class Odd(Identity):
    """Gives unexpected results, and then raises SystemExit."""

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
    """Raises in its constructor."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


class NeverStarts(Identity):
    """Raises in init."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        raise ValueError("no model")
