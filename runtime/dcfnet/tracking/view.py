"""Camera cuts: frames that show another scene, or the same scene from another place.

The view of a frame is a coarse grey picture of it. A cut is a view that correlates weakly with the view before. A jump
of the exposure hardly changes the correlation. It would change differences of pixels and histograms, by which
PySceneDetect's detectors find cuts. A pan moves the view, so the views are also compared with shifts of one cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.io.frame import frame_size
from dcfnet.io.texture import FLAT_RANGE, Texture
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import VIEW_SIDE

Views = NDArray[np.uint8]  # (N, VIEW_SIDE, VIEW_SIDE), see `TrackState.view`
CUT_CORRELATION = 0.67  # correlation of two views below which they are of a cut (docs/tuning.md)
SHIFTS = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]  # cells


def check_frames(
    pipeline: Pipeline, frames: Sequence[Any], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
) -> tuple[Texture, Views]:
    """The texture of the search regions of N targets, and the views of their frames. Waits for a device.

    Arguments as for `Backend.check_texture`. The views are 0 for settings that do not search after cuts.
    """
    backend, count = pipeline.backend, len(sources)
    if not pipeline.config.searches_after_cuts():
        unknown = np.zeros((count, VIEW_SIDE, VIEW_SIDE), np.uint8)
        return backend.check_texture(frames, sources, centres, regions)(), unknown
    indices, inverse = np.unique(sources, return_inverse=True)
    cells = [_cells(frame_size(frames[index])) for index in indices]
    textured, levels = backend.check_texture(
        frames,
        np.concatenate([sources, np.repeat(indices, VIEW_SIDE**2)]),
        np.concatenate([centres, *(middle for middle, _ in cells)]),
        np.concatenate([regions, *(size for _, size in cells)]),
    )()
    views = np.rint(levels[count:]).astype(np.uint8).reshape(-1, VIEW_SIDE, VIEW_SIDE)
    return Texture(textured[:count], levels[:count]), views[inverse]


def is_cut(before: Views, after: Views) -> NDArray[np.bool_]:
    """Whether there is a cut between two views, bool (N,). An unknown view, and two flat ones, are of no cut."""
    known = before.any(axis=(1, 2))
    contrast = np.maximum(np.ptp(before, axis=(1, 2)), np.ptp(after, axis=(1, 2)))
    similar = np.max([_correlation(before, after, *shift) for shift in SHIFTS], axis=0)
    cut: NDArray[np.bool_] = known & (contrast > FLAT_RANGE) & (similar < CUT_CORRELATION)
    return cut


def _correlation(before: Views, after: Views, dx: int, dy: int) -> NDArray[np.float64]:
    """Correlation of the parts of N views that show the same if all moved by (dx, dy) cells, (N,); 0 for a flat one."""
    first = before[:, max(-dy, 0) : VIEW_SIDE - max(dy, 0), max(-dx, 0) : VIEW_SIDE - max(dx, 0)]
    second = after[:, max(dy, 0) : VIEW_SIDE - max(-dy, 0), max(dx, 0) : VIEW_SIDE - max(-dx, 0)]
    a, b = (part - part.mean(axis=(1, 2), keepdims=True) for part in (first, second))
    energy = (a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2))
    correlation: NDArray[np.float64] = (a * b).sum(axis=(1, 2)) / np.sqrt(np.maximum(energy, 1.0))
    return correlation


@lru_cache(maxsize=16)
def _cells(size: tuple[int, int]) -> tuple[Pairs, Pairs]:
    """Centres and sizes (VIEW_SIDE^2, 2) of the cells of a frame of this (width, height), row by row; frame pixels."""
    side = np.array(size) / VIEW_SIDE
    row, column = np.divmod(np.arange(VIEW_SIDE**2), VIEW_SIDE)
    return (np.stack([column, row], axis=1) + 0.5) * side - 0.5, np.tile(side, (VIEW_SIDE**2, 1))
