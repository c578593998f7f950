"""Sequences whose target is hidden, rendered from photographs: python benchmarks/hidden_targets.py PHOTOS FOLDER.

Each is a cut-out of one photograph that wanders over another and passes behind two boards, which show parts of a third
one: behind each it is wholly hidden for 12 to 30 frames, and wherever it went on the way it comes out. FOLDER is then
in OTB's layout, as of look_alikes.py; frames in which it is hidden are tracked and not scored.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from dcfnet.geometry import Box
from dcfnet_evaluation.rendered import Image, blob_mask, paste
from look_alikes import FRAMES, HEIGHT, WIDTH, main, read, wander

STARTS = (35, 80)  # frames in which it is first hidden
EDGE = 2  # px that a board is larger than what it hides


def sequence(seed: int, photos: list[Path]) -> tuple[list[Image], list[Box | None]]:
    """FRAMES frames, uint8 (HEIGHT, WIDTH, 3) BGR, and the target's box in each, None where it is hidden."""
    rng = np.random.default_rng(seed)
    scene, source, cover = (read(photos, rng) for _ in range(3))
    size = np.array([rng.uniform(24, 50), rng.uniform(24, 50)])
    tall, wide = (int(side * 1.2) for side in size[::-1])
    corners = rng.integers((source.shape[1] - wide, source.shape[0] - tall), size=(8, 2))
    texture = max((source[y : y + tall, x : x + wide] for x, y in corners), key=np.std).copy()
    mask = blob_mask(rng, tall, wide, waviness=0.0)
    own = wander(rng, np.array([WIDTH / 2, HEIGHT / 2]), 75, 0.06)
    camera = wander(rng, np.array([40.0, 30.0]), 12, 0.05)
    places = [Box.of(own(t), size) for t in range(FRAMES)]
    hidden = np.zeros(FRAMES, dtype=bool)
    for start in STARTS:
        hidden[start : start + int(rng.integers(12, 31))] = True
    frames, boxes = [], list[Box | None]()
    for t in range(FRAMES):
        left, top = camera(t).clip(0, (79, 59)).astype(int)
        frame = scene[top : top + HEIGHT, left : left + WIDTH].copy()
        paste(frame, texture, mask, places[t], angle=0.0)
        if hidden[t]:
            _cover(frame, cover, [places[k] for k in _run(hidden, t)])
        frames.append(cv2.GaussianBlur(frame, (0, 0), 0.6).astype(np.uint8, copy=False))
        boxes.append(None if hidden[t] else places[t])
    return frames, boxes


def _run(hidden: np.ndarray, t: int) -> range:
    """The frames about t in which it is hidden without a break."""
    first = last = t
    while hidden[first - 1]:
        first -= 1
    while hidden[last + 1]:
        last += 1
    return range(first, last + 1)


def _cover(frame: Image, cover: Image, places: list[Box]) -> None:
    """Draws a board over all of the places, in place."""
    corners = np.array([[b.x, b.y, b.x + b.w, b.y + b.h] for b in places])
    left, top = np.floor(corners[:, :2].min(axis=0)).astype(int).clip(0) - EDGE
    right, bottom = np.ceil(corners[:, 2:].max(axis=0)).astype(int) + EDGE
    rows, columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
    frame[rows, columns] = cover[:HEIGHT, :WIDTH][rows, columns]


if __name__ == "__main__":
    main(sequence, "hidden", __doc__)
