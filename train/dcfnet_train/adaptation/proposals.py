"""Targets that nobody has named: places with texture, rather those that change.

Unsupervised deep tracking (Wang et al., CVPR 2019, arXiv 1904.01828) starts from the middle of the frame, or anywhere:
what is learnt is to find a place again, not what the thing is. Flat places cannot be found again, so they are left out.
"""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.geometry import Box
from numpy.typing import NDArray

CANDIDATES = 200  # boxes that are drawn at random
SMALLEST = 24.0  # px, of the geometric mean of a box's sides; what is smaller has little texture of its own
LARGEST = 0.35  # of the frame's shorter side
MARGIN = 0.5  # of a box's size that is left around it in the frame: there it can move, and the camera be shaken
APART = 0.1  # overlap of two proposals at most


def propose(rng: np.random.Generator, first: Frame, later: Frame, count: int) -> list[Box]:
    """Up to `count` boxes in the first of two uint8 (H, W, 3) frames, 0-based frame pixels; none in a small frame.

    Best first: by the rank of their texture plus the rank of what has changed in them by the later frame.
    """
    boxes = _draw(rng, *first.shape[1::-1])
    if not boxes:
        return []
    grey, other = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (first, later))
    corners = cv2.cornerMinEigenVal(grey, 5)  # high where there is texture in both directions
    texture = _means(np.sqrt(np.maximum(corners, 0)), boxes)
    change = _means(cv2.absdiff(grey, other).astype(np.float32), boxes)
    rank = texture.argsort().argsort() + change.argsort().argsort()
    chosen: list[Box] = []
    for index in rank.argsort()[::-1]:
        if texture[index] >= np.median(texture) and all(boxes[index].iou(box) <= APART for box in chosen):
            chosen.append(boxes[index])
        if len(chosen) == count:
            break
    return chosen


def _draw(rng: np.random.Generator, width: int, height: int) -> list[Box]:
    largest = LARGEST * min(width, height)
    if largest < SMALLEST:
        return []
    boxes = []
    for _ in range(CANDIDATES):
        side = np.exp(rng.uniform(np.log(SMALLEST), np.log(largest)))
        aspect = np.exp(rng.uniform(-0.7, 0.7) / 2)  # up to twice as long as wide
        size = np.array([side * aspect, side / aspect])
        free = np.array([width, height]) - (1 + 2 * MARGIN) * size
        if (free > 0).all():
            x, y = MARGIN * size + rng.uniform(size=2) * free
            boxes.append(Box(float(x), float(y), float(size[0]), float(size[1])))
    return boxes


def _means(values: NDArray[np.float32], boxes: list[Box]) -> NDArray[np.float64]:
    """Mean of an image in every box, float64 (N,)."""
    summed = cv2.integral(values)
    edges = np.array([(b.x, b.y, b.x + b.w, b.y + b.h) for b in boxes]).round().astype(int)
    left, top, right, bottom = edges.T
    total = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    means: NDArray[np.float64] = total / np.maximum((right - left) * (bottom - top), 1)
    return means
