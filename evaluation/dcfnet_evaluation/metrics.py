"""Scores of tracked boxes against the truth, with the OTB toolkit's conventions.

Boxes are float64 (N, 4), x, y, w, h, 0-based frame pixels. The first frame, where the tracker is given the truth,
counts, and comparisons are strict, so that a perfect tracker's success AUC is 20/21 = 0.952.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERLAP_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_PX = 20.0

Boxes = NDArray[np.float64]


def overlaps(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes, float64 (N,) in [0, 1]."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1) - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)


def centre_errors(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Distance between the centres of every pair of boxes, float64 (N,), frame pixels."""
    difference = boxes[:, :2] + (boxes[:, 2:] - 1) / 2 - truth[:, :2] - (truth[:, 2:] - 1) / 2
    return np.hypot(difference[:, 0], difference[:, 1])


def success_auc(boxes: Boxes, truth: Boxes) -> float:
    """Mean over 21 thresholds 0, 0.05, .. 1 of the share of frames whose overlap is above it."""
    return float((overlaps(boxes, truth)[:, None] > OVERLAP_THRESHOLDS).mean())


def precision(boxes: Boxes, truth: Boxes, pixels: float = PRECISION_PX) -> float:
    """Share of frames whose centre is at most `pixels` from the truth's."""
    return float((centre_errors(boxes, truth) <= pixels).mean())
