"""Rectangles of whole pixels: the pixels that patches read, and those that must still be copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import le
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rectangle(NamedTuple):
    """Columns left .. right - 1 and rows top .. bottom - 1 of a frame; empty if right <= left or bottom <= top."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        """Whether it contains pixels."""
        return self.left < self.right and self.top < self.bottom

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.right - self.left) * (self.bottom - self.top) if self else 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def contains(self, other: Rectangle) -> bool:
        """Whether all pixels of the other rectangle are in this one."""
        within = self.left <= other.left and self.top <= other.top
        return not other or (within and other.right <= self.right and other.bottom <= self.bottom)

    def union(self, other: Rectangle) -> Rectangle:
        """The smallest rectangle that contains both."""
        if not (self and other):
            return self or other
        low = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(*low, max(self.right, other.right), max(self.bottom, other.bottom))

    def even(self) -> Rectangle:
        """The smallest rectangle with even ends that contains this one."""
        return Rectangle(self.left // 2 * 2, self.top // 2 * 2, -(-self.right // 2) * 2, -(-self.bottom // 2) * 2)

    def difference(self, inner: Rectangle) -> list[Rectangle]:
        """The pixels outside `inner`, which this rectangle contains: disjoint strips above, below, left and right."""
        if not inner:
            return [self] if self else []
        strips = [
            Rectangle(self.left, self.top, self.right, inner.top),
            Rectangle(self.left, inner.bottom, self.right, self.bottom),
            Rectangle(self.left, inner.top, inner.left, inner.bottom),
            Rectangle(inner.right, inner.top, self.right, inner.bottom),
        ]
        return [strip for strip in strips if strip]


def turned_steps(steps: NDArray[np.float64], angles: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Frame pixels per patch pixel of patches that are turned by an angle: float64 (..., 2, 2).

    Row x, then row y; the first column is for a step to the right in the patch, the second for a step down. steps:
    (..., 2), of the patches without a turn. angles: (...), radians, clockwise in the frame, whose y axis points down.
    """
    cosine, sine = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)
    turned: NDArray[np.float64] = turn * steps[..., None, :]
    return turned


def turned_extent(regions: NDArray[np.float64], angles: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Width and height, (..., 2), of the upright rectangles around regions (..., 2) that are turned by these angles."""
    extent: NDArray[np.float64] = np.abs(turned_steps(regions, angles)).sum(axis=-1)
    return extent


def pixels_read(shape: Sequence[int], centres: NDArray[np.float64], regions: NDArray[np.float64]) -> Rectangle:
    """One rectangle with all pixels of a frame of this shape that patches of these regions can read.

    centres, regions: (M, 2), frame pixels, as in `Backend.crop`. Rows with NaN read no pixels.
    """
    farthest = [shape[1] + 1, shape[0] + 1, 2, 2]  # regions beyond these read no pixel; NaN compares false
    if len(centres) == 1:  # nearly always; NumPy takes several times as long for one region
        (x, y), (w, h) = centres[0].tolist(), regions[0].tolist()
        own = [x - w / 2, y - h / 2, -w / 2 - x, -h / 2 - y]
        return _pixels_between(shape, own) if all(map(le, own, farthest)) else Rectangle()
    half = regions / 2
    # Ends (M, 4). Right and bottom are negated, so that the minimum of each column is an end of the union.
    ends = np.concatenate([centres - half, -half - centres], axis=1)
    if not all(map(le, np.maximum.reduce(ends).tolist(), farthest)):
        ends = ends[(ends <= farthest).all(axis=1)]
        if not len(ends):
            return Rectangle()
    return _pixels_between(shape, np.minimum.reduce(ends).tolist())


def _pixels_between(shape: Sequence[int], ends: Sequence[float]) -> Rectangle:
    """The pixels that bilinear samples read. ends: left, top, -right, -bottom."""
    left, top, right, bottom = ends
    # One pixel more on each side than bilinear sampling needs, because its coordinates are float32 on a GPU.
    low_x, low_y = max(math.floor(max(left, 0)) - 1, 0), max(math.floor(max(top, 0)) - 1, 0)
    high_x, high_y = math.floor(min(-right, shape[1])) + 3, math.floor(min(-bottom, shape[0])) + 3
    return Rectangle(low_x, low_y, min(high_x, shape[1]), min(high_y, shape[0]))
