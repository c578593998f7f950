"""Camera cuts: frames that show another scene, or the same scene from another place.

The view of a frame is a coarse grey picture of it. A cut is a view that correlates weakly with the view before. A jump
of the exposure hardly changes the correlation. It would change differences of pixels and histograms, by which
PySceneDetect's detectors find cuts. A pan moves the view, so the views are also compared with shifts of one cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.records import CELL_SAMPLES, VIEW_SIDE
from dcfnet.io.texture import FLAT_RANGE
from dcfnet.tracking.pipeline import Pipeline

Views = NDArray[np.uint8]  # (N, VIEW_SIDE, VIEW_SIDE), see `TrackState.view`
CUT_CORRELATION = 0.6  # correlation of two views below which they are of a cut (docs/tuning.md)
SHIFTS = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]  # cells


def read_views(pipeline: Pipeline, frames: Mapping[int, Any], sources: NDArray[np.intp]) -> Views:
    """The views of the frames of N targets. May wait for a device.

    frames: by source, as `Backend.frame` returns them. sources: (N,), of the targets. The views are 0 (unknown) in
    small frames, and for settings that do not search after cuts.
    """
    views = np.zeros((len(sources), VIEW_SIDE, VIEW_SIDE), np.uint8)
    if pipeline.config.searches_whole_frame():
        for index in set(sources.tolist()):
            views[sources == index] = _view(pipeline, frames[index])
    return views


def _view(pipeline: Pipeline, frame: Any) -> NDArray[np.uint8] | int:
    """The view of one frame; 0 for a frame that is too small."""
    height, width = frame.shape[:2]
    if min(height, width) < VIEW_SIDE * CELL_SAMPLES:
        return 0
    pixels = pipeline.backend.read_pixels(frame, _samples(height), _samples(width))
    cells = pixels.reshape(VIEW_SIDE, CELL_SAMPLES, VIEW_SIDE, CELL_SAMPLES, -1)[..., :3]  # without alpha
    sums = cells.sum(axis=(1, 3, 4), dtype=np.int64)
    view: NDArray[np.uint8] = (sums // (CELL_SAMPLES**2 * cells.shape[-1])).astype(np.uint8)
    return view


@lru_cache(maxsize=16)
def _samples(side: int) -> slice:
    """The sampled rows or columns of a frame of this height or width: at equal distances, around its middle."""
    count = VIEW_SIDE * CELL_SAMPLES
    step = side // count
    start = (side - (count - 1) * step) // 2
    return slice(start, start + (count - 1) * step + 1, step)


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
