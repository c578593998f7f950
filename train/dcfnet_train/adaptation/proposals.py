"""Proposes targets in footage without annotation: regions with texture, preferably regions that change.

Unsupervised deep tracking (Wang et al., CVPR 2019, arXiv 1904.01828) starts from the centre of the frame or from random
regions: the network learns to find a region again, not to recognise an object. A region without texture cannot be found
again and is rejected.
"""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.result import Box
from numpy.typing import NDArray

CANDIDATES = 200  # random boxes per frame
SMALLEST = 24.0  # px, geometric mean of the sides of a box; smaller boxes have little texture
LARGEST = 0.35  # largest box side (geometric mean) / shorter side of the frame
MARGIN = 0.5  # smallest distance to the frame border / box size: room for motion and camera shake
MAX_OVERLAP = 0.1  # of two proposals


def propose(rng: np.random.Generator, first: Frame, later: Frame, count: int) -> list[Box]:
    """Up to `count` boxes in the first of two uint8 (H, W, 3) frames, 0-based frame pixels; none in a small frame.

    The best box is first. The order is by rank of texture plus rank of the change until the later frame.
    """
    boxes = _draw(rng, *first.shape[1::-1])
    if not boxes:
        return []
    grey, other = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (first, later))
    corners = cv2.cornerMinEigenVal(grey, 5)  # high for texture in both directions
    texture = _means(np.sqrt(np.maximum(corners, 0)), boxes)
    change = _means(cv2.absdiff(grey, other).astype(np.float32), boxes)
    rank = texture.argsort().argsort() + change.argsort().argsort()
    chosen: list[Box] = []
    for index in rank.argsort()[::-1]:
        if texture[index] >= np.median(texture) and all(boxes[index].iou(box) <= MAX_OVERLAP for box in chosen):
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
        aspect = np.exp(rng.uniform(-0.7, 0.7) / 2)  # square root of the aspect ratio, which is in 0.5 .. 2
        size = np.array([side * aspect, side / aspect])
        free = np.array([width, height]) - (1 + 2 * MARGIN) * size
        if (free > 0).all():
            x, y = MARGIN * size + rng.uniform(size=2) * free
            boxes.append(Box(float(x), float(y), float(size[0]), float(size[1])))
    return boxes


def _means(values: NDArray[np.float32], boxes: list[Box]) -> NDArray[np.float64]:
    """Mean of an image in each box, float64 (N,)."""
    summed = cv2.integral(values)
    edges = np.array([(b.x, b.y, b.x + b.w, b.y + b.h) for b in boxes]).round().astype(int)
    left, top, right, bottom = edges.T
    total = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    means: NDArray[np.float64] = total / np.maximum((right - left) * (bottom - top), 1)
    return means
