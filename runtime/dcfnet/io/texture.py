"""The texture check: a region of one flat colour is rejected, because a filter cannot track in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcfnet.io.frame import Frame

FLAT_RANGE = 8  # grey levels: in a frame of one colour, codec and sensor noise varies by at most this much
SAMPLES = 32  # pixels to examine along each side of a region
COARSE_SAMPLES = 6  # pixels along each side in the first check, which is nearly always sufficient


def has_texture(frame: Frame, centre: NDArray[np.float64], region: NDArray[np.float64]) -> bool:
    """Whether a colour channel varies by more than FLAT_RANGE levels inside the region. Alpha does not count.

    centre, region: (x, y) and (width, height), frame pixels. Only the pixels of `sampled_pixels` are examined.
    """
    inside = frame[sampled_pixels(frame.shape, centre, region)]
    if inside.size == 0:
        return False
    colours = inside[..., :3] if frame.ndim == 3 else inside[..., None]
    return int(np.ptp(colours, axis=(0, 1)).max()) > FLAT_RANGE


def have_texture(frame: Frame, centres: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`has_texture` of M regions of a frame, bool (M,). centres, regions: (M, 2).

    The first check examines a few pixels of all regions at once. Only regions that fail it are examined completely.
    """
    low, high, step = grid_of(frame.shape, centres, regions)
    last = (high - low - 1) // step  # index of the last examined pixel, (M, 2)
    textured = np.zeros(len(centres), dtype=np.bool_)
    rows = np.flatnonzero((last >= 0).all(axis=1))
    order = np.arange(COARSE_SAMPLES)[:, None] * last[rows, None] // (COARSE_SAMPLES - 1)
    coarse = low[rows, None] + order * step[rows, None]  # (M, COARSE_SAMPLES, 2)
    pixels = frame[coarse[:, :, None, 1], coarse[:, None, :, 0]]  # (M, COARSE_SAMPLES, COARSE_SAMPLES[, C])
    pixels = pixels[..., :3] if frame.ndim == 3 else pixels[..., None]
    contrast = pixels.max(axis=(1, 2)).astype(int) - pixels.min(axis=(1, 2))  # (M, colours)
    textured[rows] = (contrast > FLAT_RANGE).any(axis=1)
    for row in rows[~textured[rows]]:
        textured[row] = has_texture(frame, centres[row], regions[row])
    return textured


def sampled_pixels(
    shape: Sequence[int], centre: NDArray[np.float64], region: NDArray[np.float64]
) -> tuple[slice, slice]:
    """Row and column slices of the examined pixels: SAMPLES or more along each side, or all of a shorter side."""
    low, high, step = grid_of(shape, centre, region)
    return slice(low[1], high[1], step[1]), slice(low[0], high[0], step[0])


def grid_of(
    shape: Sequence[int], centre: NDArray[np.float64], region: NDArray[np.float64]
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.int_]]:
    """First pixel, end (exclusive) and step of the examined pixels: (x, y) each, (..., 2) like the regions."""
    low = np.maximum(np.floor(centre - region / 2), 0).astype(int)
    high = np.maximum(np.ceil(centre + region / 2).astype(int) + 1, low + 1)
    high = np.minimum(high, (shape[1], shape[0]))
    return low, high, np.maximum((high - low) // SAMPLES, 1)
