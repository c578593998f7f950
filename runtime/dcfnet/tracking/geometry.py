"""Boxes, centres, sizes and search regions: host floats, in frame pixels.

Frame of reference: 0-based, pixel centres at integers. A box covers the pixels x .. x + w - 1, so its centre is
(x + (w - 1) / 2, y + (h - 1) / 2). Pairs are (x, y) and (width, height), never (row, column).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.devices.backend import Pairs
from dcfnet.errors import InvalidBoxError
from dcfnet.result import Box

# Centres are rounded to 1/16 px. Rounding removes the tiny differences between float32 sums on different devices, which
# would otherwise grow from frame to frame. No box is known more exactly than this.
CENTRES_A_PIXEL = 16
# Patch pixels are a multiple of 1/1024 px apart. With rounded centres, float32 represents every sampled position
# exactly. So all devices sample the same positions and get the same patches.
STEPS_A_PIXEL = 1024
UNORDERED_OR_TEXT = (str, bytes, bytearray, Set, Mapping)  # float() would accept their elements
LARGEST_NUMBER = 1e12  # px: a larger number in a box is an error of the program, not a box beyond the border


def turned_size(size: Pairs, angle: NDArray[np.float64]) -> Pairs:
    """Width and height of upright boxes around ellipses of these sizes (N, 2) that are turned by angles (N,), radians.

    An ellipse fits most targets better than a rectangle: few have something in the corners of their box.
    """
    if not angle.any():  # nearly always
        return size
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.hypot(size * cosine, size[:, ::-1] * sine)


def target_box(box: Box | Sequence[float], frame_size: tuple[int, int]) -> Box:
    """The box that a tracker starts from: checked, and cut to the frame.

    box: (x, y, w, h), frame pixels. frame_size: (width, height).
    Raises InvalidBoxError for text, sets and mappings, for NaN, for numbers beyond LARGEST_NUMBER, for a side under
    MIN_TARGET_SIDE px, or for a box outside the frame.
    """
    try:
        if isinstance(box, UNORDERED_OR_TEXT):
            raise TypeError
        x, y, w, h = values = [float(value) for value in box]
    except (TypeError, ValueError, OverflowError):
        raise InvalidBoxError(f"box {box!r}: a box is the four numbers x, y, w, h, in this order") from None
    shown = f"box x={x:g}, y={y:g}, w={w:g}, h={h:g}"
    if not all(map(math.isfinite, values)):
        raise InvalidBoxError(f"{shown}: every number must be finite")
    if max(map(abs, values)) > LARGEST_NUMBER:
        raise InvalidBoxError(f"{shown}: every number must be from {-LARGEST_NUMBER:g} to {LARGEST_NUMBER:g} px")
    if min(w, h) < MIN_TARGET_SIDE:
        raise InvalidBoxError(f"{shown}: width and height must be at least {MIN_TARGET_SIDE:g} px")
    return _cut(Box(x, y, w, h), frame_size, shown)


def _cut(box: Box, frame_size: tuple[int, int], shown: str) -> Box:
    """The part of the box inside the frame, kept at least MIN_TARGET_SIDE px wide and high."""
    width, height = frame_size
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    right, bottom = min(box.x + box.w, width), min(box.y + box.h, height)
    if right - left < 1 or bottom - top < 1:
        raise InvalidBoxError(f"{shown}: less than one pixel of it is in the frame of {width} x {height} px")
    w, h = max(right - left, MIN_TARGET_SIDE), max(bottom - top, MIN_TARGET_SIDE)
    return Box(max(min(left, width - w), 0.0), max(min(top, height - h), 0.0), w, h)


def scale_pyramid(scales: int, step: float) -> NDArray[np.float64]:
    """Scale factors step^k for k = -(S-1)/2 .. (S-1)/2, float64 (S,), smallest first; the middle one is exactly 1."""
    return np.array([step**k for k in range(-(scales // 2), scales // 2 + 1)], dtype=np.float64)


def search_region(size: Pairs, padding: float, squareness: float = 0.0) -> Pairs:
    """Target sizes (..., 2) -> sizes of the region cropped around them, frame pixels.

    squareness: 0 keeps the shape of the target, 1 gives a square. The area is the same.
    """
    side = np.sqrt(size[..., :1] * size[..., 1:])
    region: Pairs = size * (side / size) ** squareness * (1 + padding)
    return region


def size_limits(initial_size: Pairs, frame_size: Pairs, ratio: tuple[float, float]) -> Pairs:
    """Smallest and largest size of each target / its initial size, (N, 2).

    ratio: both limits before two corrections: no side is below MIN_TARGET_SIDE, and a target that grows is not larger
    than the frame. MIN_TARGET_SIDE has priority.
    """
    least = np.maximum(ratio[0], (MIN_TARGET_SIDE / initial_size).max(axis=1))
    most = np.minimum(ratio[1], np.maximum(frame_size / initial_size, 1).min(axis=1))
    return np.stack([least, np.maximum(most, least)], axis=1)


def limit_size(size: Pairs, initial_size: Pairs, limits: Pairs) -> Pairs:
    """Sizes (N, 2), limited to `limits` (see `size_limits`) with the aspect ratio of the initial size.

    A size within the limits is returned bit for bit.
    """
    scale = size[:, :1] / initial_size[:, :1]  # the aspect ratio is constant, so one axis is enough
    limited = np.minimum(np.maximum(scale, limits[:, :1]), limits[:, 1:])
    return select_rows((limited == scale)[:, 0], size, initial_size * limited)


def limit_centre(centre: Pairs, frame_size: Pairs) -> Pairs:
    """Centres (N, 2) moved to the nearest point inside the frame, frame pixels."""
    return np.minimum(np.maximum(centre, 0.0), frame_size - 1.0)


def to_centre_grid(centre: Pairs) -> Pairs:
    """Centres rounded to multiples of 1 / CENTRES_A_PIXEL px."""
    placed: Pairs = np.rint(centre * CENTRES_A_PIXEL) / CENTRES_A_PIXEL
    return placed


def to_step_grid(regions: Pairs, patch_size: int) -> Pairs:
    """Regions (..., 2) rounded so that their patch pixels are a multiple of 1 / STEPS_A_PIXEL px apart."""
    stepped: Pairs = np.maximum(np.rint(regions * (STEPS_A_PIXEL / patch_size)), 1) * (patch_size / STEPS_A_PIXEL)
    return stepped


def select_rows(rows: NDArray[np.bool_], these: Pairs, others: Pairs) -> Pairs:
    """Rows of `these` where `rows`, bool (N,), is true, else of `others`. Returns `these` itself if all are true."""
    return these if all(rows.tolist()) else np.where(rows[:, None], these, others)


def both_true(pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether both values of each pair are true: (N, 2) -> (N,). NumPy's `all` takes three times as long here."""
    true: NDArray[np.bool_] = pairs[:, 0] & pairs[:, 1]
    return true


def any_true(pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether at least one value of each pair is true: (N, 2) -> (N,)."""
    true: NDArray[np.bool_] = pairs[:, 0] | pairs[:, 1]
    return true
