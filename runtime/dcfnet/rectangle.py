"""Whole pixels of a frame: which of them patches are made of, and which are still to be fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import le
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rectangle(NamedTuple):
    """Columns left .. right - 1 and rows top .. bottom - 1 of a frame; none where an end is not beyond its start."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        """Whether it has pixels."""
        return self.left < self.right and self.top < self.bottom

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.right - self.left) * (self.bottom - self.top) if self else 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to cut it out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, other: Rectangle) -> bool:
        """Whether every pixel of the other is one of this."""
        within = self.left <= other.left and self.top <= other.top
        return not other or (within and other.right <= self.right and other.bottom <= self.bottom)

    def joined(self, other: Rectangle) -> Rectangle:
        """The smallest that holds both."""
        if not (self and other):
            return self or other
        low = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(*low, max(self.right, other.right), max(self.bottom, other.bottom))

    def even(self) -> Rectangle:
        """The smallest with even ends that holds it."""
        return Rectangle(self.left // 2 * 2, self.top // 2 * 2, -(-self.right // 2) * 2, -(-self.bottom // 2) * 2)

    def without(self, held: Rectangle) -> list[Rectangle]:
        """What of it is not in `held`, which lies within it: above, below, and to the sides; no pixel twice."""
        if not held:
            return [self] if self else []
        strips = [
            Rectangle(self.left, self.top, self.right, held.top),
            Rectangle(self.left, held.bottom, self.right, self.bottom),
            Rectangle(self.left, held.top, held.left, held.bottom),
            Rectangle(held.right, held.top, self.right, held.bottom),
        ]
        return [strip for strip in strips if strip]


def touched(shape: Sequence[int], centres: NDArray[np.float64], regions: NDArray[np.float64]) -> Rectangle:
    """The pixels of a frame of this shape that patches of these regions may read, all regions together.

    centres, regions: (M, 2), as of `Backend.crop`. Places that are no number touch nothing.
    """
    half = regions / 2
    # Ends (M, 4), the far ones with their sign turned, so that the least of each is an end of all.
    ends = np.concatenate([centres - half, -half - centres], axis=1)
    farthest = [shape[1] + 1, shape[0] + 1, 2, 2]  # a pixel and more away, as is none that is no number
    if not all(map(le, np.maximum.reduce(ends).tolist(), farthest)):
        ends = ends[(ends <= farthest).all(axis=1)]
        if not len(ends):
            return Rectangle()
    left, top, right, bottom = np.minimum.reduce(ends).tolist()
    # A pixel more on each side than bilinear samples need, whose coordinates are float32 on a GPU.
    low_x, low_y = max(math.floor(max(left, 0)) - 1, 0), max(math.floor(max(top, 0)) - 1, 0)
    high_x, high_y = math.floor(min(-right, shape[1])) + 3, math.floor(min(-bottom, shape[0])) + 3
    return Rectangle(low_x, low_y, min(high_x, shape[1]), min(high_y, shape[0]))
