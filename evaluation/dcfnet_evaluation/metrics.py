"""Scores of tracked boxes against the truth, with the OTB toolkit's conventions (Wu et al., CVPR 2013, section 3.1).

Boxes are float64 (N, 4), x, y, w, h, 0-based frame pixels; NaN rows are frames in which the tracker has no box (they
overlap nothing and are infinitely far away) or the target is absent (they are not scored). The first frame, where the
tracker is given the truth, counts. A success needs an overlap above the threshold, not at it, so that at the last of
the 21 thresholds, 1, nobody succeeds and a perfect tracker's success AUC is 20/21 = 0.952.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERLAP_THRESHOLDS = np.linspace(0, 1, 21)
ERROR_THRESHOLDS = np.arange(0.0, 51.0)  # px
PRECISION_PX = 20.0
SUCCESS_OVERLAP = 0.5

Boxes = NDArray[np.float64]


def scored(truth: Boxes) -> NDArray[np.bool_]:
    """Which frames count, bool (N,): those in which the target is there."""
    return np.asarray(np.isfinite(truth).all(axis=1))


def overlaps(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes, float64 (N,) in [0, 1]; 0 where one of the two is NaN."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1) - intersection
    ratio = np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)
    return np.minimum(ratio, 1.0)  # by rounding the same box may overlap itself by a little more, which would count


def centres(boxes: Boxes) -> NDArray[np.float64]:
    """Centre (x, y) of every box, float64 (N, 2), frame pixels, pixel centres at integers."""
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def centre_errors(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Distance between the centres of every pair of boxes, float64 (N,), frame pixels; infinite where one is NaN."""
    distance = np.hypot(*(centres(boxes) - centres(truth)).T)
    return np.where(np.isnan(distance), np.inf, distance)


def success_curve(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Share of the scored frames whose overlap is above each of the 21 thresholds, float64 (21,)."""
    here = scored(truth)
    return (overlaps(boxes[here], truth[here])[:, None] > OVERLAP_THRESHOLDS).mean(axis=0)  # type: ignore[no-any-return]


def precision_curve(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Share of the scored frames whose centre is at most 0, 1, .. 50 px from the truth's, float64 (51,)."""
    here = scored(truth)
    return (centre_errors(boxes[here], truth[here])[:, None] <= ERROR_THRESHOLDS).mean(axis=0)  # type: ignore[no-any-return]


def success_auc(boxes: Boxes, truth: Boxes) -> float:
    """Mean of the success curve: its area."""
    return float(success_curve(boxes, truth).mean())


def precision(boxes: Boxes, truth: Boxes, pixels: float = PRECISION_PX) -> float:
    """Share of the scored frames whose centre is at most `pixels` from the truth's: DP."""
    here = scored(truth)
    return float((centre_errors(boxes[here], truth[here]) <= pixels).mean())


def overlap_precision(boxes: Boxes, truth: Boxes, overlap: float = SUCCESS_OVERLAP) -> float:
    """Share of the scored frames whose overlap is above `overlap`: OP."""
    here = scored(truth)
    return float((overlaps(boxes[here], truth[here]) > overlap).mean())


def centre_location_error(boxes: Boxes, truth: Boxes) -> float:
    """Mean centre error of the frames in which both boxes are there, px: CLE; NaN where there is no such frame."""
    errors = centre_errors(boxes, truth)
    there = np.isfinite(errors)
    return float(errors[there].mean()) if there.any() else float("nan")
