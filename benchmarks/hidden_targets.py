"""Renders sequences with a hidden target from photographs: python benchmarks/hidden_targets.py PHOTOS FOLDER.

The target is a cut-out of one photograph that moves over a second one and passes behind two boards with the texture of
a third one. Each board hides it completely for 12 to 30 frames, and it reappears where its path has led it. FOLDER gets
OTB's layout, as from look_alikes.py. Frames with a hidden target are tracked and not scored.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Image, blob_mask, paste
from look_alikes import FRAMES, HEIGHT, WIDTH, main, read, wander

STARTS = (35, 80)  # first frames with a hidden target
EDGE = 2  # px, by which a board is larger than the area to hide


def sequence(seed: int, photos: list[Path]) -> tuple[list[Image], list[Box | None]]:
    """FRAMES frames, uint8 (HEIGHT, WIDTH, 3) BGR, and the target's box in each; None if it is hidden."""
    rng = np.random.default_rng(seed)
    scene, source, cover = (read(photos, rng) for _ in range(3))
    size = np.array([rng.uniform(24, 50), rng.uniform(24, 50)])
    tall, wide = (int(side * 1.2) for side in size[::-1])
    corners = rng.integers((source.shape[1] - wide, source.shape[0] - tall), size=(8, 2))
    texture = max((source[y : y + tall, x : x + wide] for x, y in corners), key=np.std).copy()
    mask = blob_mask(rng, tall, wide, waviness=0.0)
    path = wander(rng, np.array([WIDTH / 2, HEIGHT / 2]), 75, 0.06)
    camera = wander(rng, np.array([40.0, 30.0]), 12, 0.05)
    boxes_of_target = [Box.of(path(t), size) for t in range(FRAMES)]
    hidden = np.zeros(FRAMES, dtype=bool)
    for start in STARTS:
        hidden[start : start + int(rng.integers(12, 31))] = True
    frames, boxes = [], list[Box | None]()
    for t in range(FRAMES):
        left, top = camera(t).clip(0, (79, 59)).astype(int)
        frame = scene[top : top + HEIGHT, left : left + WIDTH].copy()
        paste(frame, texture, mask, boxes_of_target[t], angle=0.0)
        if hidden[t]:
            _draw_board(frame, cover, [boxes_of_target[k] for k in _hidden_range(hidden, t)])
        frames.append(cv2.GaussianBlur(frame, (0, 0), 0.6).astype(np.uint8, copy=False))
        boxes.append(None if hidden[t] else boxes_of_target[t])
    return frames, boxes


def _hidden_range(hidden: np.ndarray, t: int) -> range:
    """The unbroken range of hidden frames around frame t."""
    first = last = t
    while hidden[first - 1]:
        first -= 1
    while hidden[last + 1]:
        last += 1
    return range(first, last + 1)


def _draw_board(frame: Image, texture: Image, places: list[Box]) -> None:
    """Draws a board over all boxes, in place."""
    corners = np.array([[b.x, b.y, b.x + b.w, b.y + b.h] for b in places])
    left, top = np.floor(corners[:, :2].min(axis=0)).astype(int).clip(0) - EDGE
    right, bottom = np.ceil(corners[:, 2:].max(axis=0)).astype(int) + EDGE
    rows, columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
    frame[rows, columns] = texture[:HEIGHT, :WIDTH][rows, columns]


if __name__ == "__main__":
    main(sequence, "hidden", __doc__)
