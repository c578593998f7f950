"""Scores of tracked boxes against true boxes, with the conventions of the OTB toolkit (Wu et al., CVPR 2013, 3.1).

Boxes are float64 (N, 4), x, y, w, h, 0-based frame pixels. A NaN row of the tracker means no box: its overlap is 0 and
its centre error infinite. A NaN row of the truth means that the target is absent: the frame is not scored. The first
frame is scored, although the tracker gets its true box. A success needs an overlap above the threshold. No overlap is
above the last of the 21 thresholds, 1, so the success AUC of a perfect tracker is 20/21 = 0.952.
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
    """Whether each frame is scored, bool (N,): the target is present."""
    return np.asarray(np.isfinite(truth).all(axis=1))


def overlaps(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Intersection over union of each pair of boxes, float64 (N,) in [0, 1]; 0 if one of the two is NaN."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1) - intersection
    ratio = np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)
    return np.minimum(ratio, 1.0)  # rounding can lift the overlap of equal boxes above 1


def centres(boxes: Boxes) -> NDArray[np.float64]:
    """Centre (x, y) of every box, float64 (N, 2), frame pixels, pixel centres at integers."""
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def centre_errors(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Distance between the centres of each pair of boxes, float64 (N,), frame pixels; infinite if one is NaN."""
    distance = np.hypot(*(centres(boxes) - centres(truth)).T)
    return np.where(np.isnan(distance), np.inf, distance)


def success_curve(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Share of the scored frames whose overlap is above each of the 21 thresholds, float64 (21,)."""
    present = scored(truth)
    return (overlaps(boxes[present], truth[present])[:, None] > OVERLAP_THRESHOLDS).mean(axis=0)  # type: ignore[no-any-return]


def precision_curve(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Share of the scored frames with a centre error of at most 0, 1, ..., 50 px, float64 (51,)."""
    present = scored(truth)
    return (centre_errors(boxes[present], truth[present])[:, None] <= ERROR_THRESHOLDS).mean(axis=0)  # type: ignore[no-any-return]


def success_auc(boxes: Boxes, truth: Boxes) -> float:
    """Success AUC: mean of the success curve."""
    return float(success_curve(boxes, truth).mean())


def precision(boxes: Boxes, truth: Boxes, pixels: float = PRECISION_PX) -> float:
    """DP: share of the scored frames with a centre error of at most `pixels`."""
    present = scored(truth)
    return float((centre_errors(boxes[present], truth[present]) <= pixels).mean())


def overlap_precision(boxes: Boxes, truth: Boxes, overlap: float = SUCCESS_OVERLAP) -> float:
    """OP: share of the scored frames with an overlap above `overlap`."""
    present = scored(truth)
    return float((overlaps(boxes[present], truth[present]) > overlap).mean())


def centre_location_error(boxes: Boxes, truth: Boxes) -> float:
    """CLE: mean centre error, px, of the frames with both boxes; NaN if there is no such frame."""
    errors = centre_errors(boxes, truth)
    finite = np.isfinite(errors)
    return float(errors[finite].mean()) if finite.any() else float("nan")
