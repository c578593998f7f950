"""What the pixels of a region say before a search: whether they have texture, and how bright they are.

A region of one flat colour is rejected, because a filter cannot track in it. Another brightness than before means that
the light has changed (`tracking/light.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.io.frame import Frame

FLAT_RANGE = 8  # grey levels: in a frame of one colour, codec and sensor noise varies by at most this much
SAMPLES = 32  # pixels to examine along each side of a region
# Pixels along each side for the grey level and for the first check of texture, which is nearly always sufficient.
COARSE_SAMPLES = 12


class Texture(NamedTuple):
    """Of M regions. textured: bool (M,), the result of `has_texture`.

    levels: float64 (M,), mean grey level of COARSE_SAMPLES x COARSE_SAMPLES pixels, 0 to 255; 0 for a region outside
    the frame.
    """

    textured: NDArray[np.bool_]
    levels: NDArray[np.float64]


def has_texture(frame: Frame, centre: NDArray[np.float64], region: NDArray[np.float64]) -> bool:
    """Whether a colour channel varies by more than FLAT_RANGE levels inside the region. Alpha does not count.

    centre, region: (x, y) and (width, height), frame pixels. Only the pixels of `sampled_pixels` are examined.
    """
    inside = frame[sampled_pixels(frame.shape, centre, region)]
    if inside.size == 0:
        return False
    colours = inside[..., :3] if frame.ndim == 3 else inside[..., None]
    return int(np.ptp(colours, axis=(0, 1)).max()) > FLAT_RANGE


def texture_of(frame: Frame, centres: NDArray[np.float64], regions: NDArray[np.float64], black: int = 0) -> Texture:
    """The texture of M regions of a frame. centres, regions: (M, 2). black: the level of black in its pixels.

    The first check examines a few pixels of all regions at once. Only regions that fail it are examined completely.
    """
    low, high, step = grid_of(frame.shape, centres, regions)
    last = (high - low - 1) // step  # index of the last examined pixel, (M, 2)
    textured, levels = np.zeros(len(centres), dtype=np.bool_), np.zeros(len(centres))
    rows = np.flatnonzero((last >= 0).all(axis=1))
    order = np.arange(COARSE_SAMPLES)[:, None] * last[rows, None] // (COARSE_SAMPLES - 1)
    coarse = low[rows, None] + order * step[rows, None]  # (M, COARSE_SAMPLES, 2)
    pixels = frame[coarse[:, :, None, 1], coarse[:, None, :, 0]]  # (M, COARSE_SAMPLES, COARSE_SAMPLES[, C])
    pixels = pixels[..., :3] if frame.ndim == 3 else pixels[..., None]
    contrast = pixels.max(axis=(1, 2)).astype(int) - pixels.min(axis=(1, 2))  # (M, colours)
    textured[rows] = (contrast > FLAT_RANGE).any(axis=1)
    levels[rows] = mean_levels(pixels.sum(axis=(1, 2, 3)), pixels.shape[-1], black)
    for row in rows[~textured[rows]]:
        textured[row] = has_texture(frame, centres[row], regions[row])
    return Texture(textured, levels)


def mean_levels(
    sums: NDArray[np.integer[Any]], colours: int | NDArray[np.int_], black: int | NDArray[np.int_]
) -> NDArray[np.float64]:
    """Sums (M,) over the pixels of `Texture.levels` and their 1 to 3 colours -> mean levels above black, (M,)."""
    levels: NDArray[np.float64] = np.maximum(sums / (COARSE_SAMPLES**2 * colours) - black, 0.0)
    return levels


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
