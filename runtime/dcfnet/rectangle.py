"""Whole pixels of a frame: which of them patches are made of, and which are still to be fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.geometry import both


class Rectangle(NamedTuple):
    """Columns left .. right - 1 and rows top .. bottom - 1 of a frame; none where an end is not beyond its start."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def area(self) -> int:
        """Pixels."""
        return max(self.right - self.left, 0) * max(self.bottom - self.top, 0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to cut it out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, other: Rectangle) -> bool:
        """Whether every pixel of the other is one of this."""
        within = self.left <= other.left and self.top <= other.top
        return not other.area or (within and other.right <= self.right and other.bottom <= self.bottom)

    def joined(self, other: Rectangle) -> Rectangle:
        """The smallest that holds both."""
        if not (self.area and other.area):
            return self if self.area else other
        low = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(*low, max(self.right, other.right), max(self.bottom, other.bottom))

    def even(self) -> Rectangle:
        """The smallest with even ends that holds it."""
        return Rectangle(self.left // 2 * 2, self.top // 2 * 2, -(-self.right // 2) * 2, -(-self.bottom // 2) * 2)

    def without(self, held: Rectangle) -> list[Rectangle]:
        """What of it is not in `held`, which lies within it: above, below, and to the sides; no pixel twice."""
        if not held.area:
            return [self] if self.area else []
        strips = [
            Rectangle(self.left, self.top, self.right, held.top),
            Rectangle(self.left, held.bottom, self.right, self.bottom),
            Rectangle(self.left, held.top, held.left, held.bottom),
            Rectangle(held.right, held.top, self.right, held.bottom),
        ]
        return [strip for strip in strips if strip.area]


def touched(shape: Sequence[int], centres: NDArray[np.float64], regions: NDArray[np.float64]) -> Rectangle:
    """The pixels of a frame of this shape that patches of these regions may read, all regions together.

    centres, regions: (M, 2), as of `Backend.crop`. Places that are no number touch nothing.
    """
    half = regions / 2
    low, high = centres - half, centres + half
    # Less than a frame and a pixel away, nor where either is no number.
    seen = (low[:, 0] < shape[1] + 1) & (low[:, 1] < shape[0] + 1) & both(high >= -2)
    if not seen.all():
        if not seen.any():
            return Rectangle()
        low, high = low[seen], high[seen]
    (left, top), (right, bottom) = np.minimum.reduce(low).tolist(), np.maximum.reduce(high).tolist()
    # A pixel more on each side than bilinear samples need, whose coordinates are float32 on a GPU.
    low_x, low_y = max(math.floor(max(left, 0)) - 1, 0), max(math.floor(max(top, 0)) - 1, 0)
    high_x, high_y = math.floor(min(right, shape[1])) + 3, math.floor(min(bottom, shape[0])) + 3
    return Rectangle(low_x, low_y, min(high_x, shape[1]), min(high_y, shape[0]))
