"""Renders pairs from photos: a cut-out of one photo moves over another photo, and the camera moves too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from dcfnet.result import Box
from dcfnet_evaluation.rendered import blob_mask, paste
from numpy.typing import NDArray

from dcfnet_train.footage.images import Image, read_image

FRAME_SIDE = 288  # px, side of a rendered frame


def render_pair(rng: np.random.Generator, photos: Sequence[Path]) -> tuple[list[Image], list[Box]]:
    """Two frames, uint8 (FRAME_SIDE, FRAME_SIDE, 3) BGR, and the exact box of the target in each.

    From the first frame to the second, the target moves, rotates, scales and stretches, and the scene pans, zooms and
    rotates. In one pair of four, an occluder covers a part of the target in the second frame.
    """
    scene, source, front = (read_image(photos[i]) for i in rng.integers(len(photos), size=3))
    size = rng.uniform(28, 84) * np.exp(rng.normal(0, 0.3, size=2)).clip(0.6, 1.7)
    texture = _cut_out(rng, source, size)
    mask = blob_mask(rng, *texture.shape[:2])
    centre = np.full(2, FRAME_SIDE / 2)
    frames, boxes, angle = [], [], rng.uniform(-15, 15)
    camera = _camera(rng, scene, strength=4.0)
    for moment in range(2):
        frame = _view(scene, camera)
        box = Box.of(centre, size)
        paste(frame, texture, mask, box, angle)
        if moment == 1 and rng.random() < 0.25:
            _occlude(rng, frame, front, box)
        frames.append(frame)
        boxes.append(box)
        centre = centre + rng.normal(0, 0.15, size=2) * size
        size = size * np.exp(rng.normal(0, 0.03) + rng.normal(0, 0.03, size=2))
        angle += rng.normal(0, 5)
        camera = camera @ _camera(rng, scene, strength=1.0, base=False)
    return frames, boxes


def _cut_out(rng: np.random.Generator, photo: Image, size: NDArray[np.float64]) -> Image:
    """A random part of the photo with the aspect of the target, uint8, about 1.3 x size."""
    height, width = photo.shape[:2]
    zoom = rng.uniform(1, 2.5)
    w, h = (int(min(side * zoom, limit)) for side, limit in zip(size, (width, height), strict=True))
    x, y = rng.integers(width - w + 1), rng.integers(height - h + 1)
    target = (max(int(size[0] * 1.3), 4), max(int(size[1] * 1.3), 4))
    return cv2.resize(photo[y : y + h, x : x + w], target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _camera(rng: np.random.Generator, scene: Image, strength: float, base: bool = True) -> NDArray[np.float64]:
    """A map from frame to scene pixels, (3, 3). base: fits the frame into the scene; else a small camera motion."""
    turn = np.deg2rad(rng.normal(0, 1.5)) * strength
    zoom = np.exp(rng.normal(0, 0.02) * strength)
    motion = np.array(
        [
            [zoom * np.cos(turn), -zoom * np.sin(turn), rng.normal(0, 6) * strength],
            [zoom * np.sin(turn), zoom * np.cos(turn), rng.normal(0, 6) * strength],
            [0, 0, 1],
        ]
    )
    to_middle = np.array([[1, 0, FRAME_SIDE / 2], [0, 1, FRAME_SIDE / 2], [0, 0, 1.0]])
    about_middle: NDArray[np.float64] = to_middle @ motion @ np.linalg.inv(to_middle)
    if not base:
        return about_middle
    fit = min(scene.shape[:2]) / FRAME_SIDE * rng.uniform(0.6, 1.0)
    scene_middle = np.array([[fit, 0, scene.shape[1] / 2], [0, fit, scene.shape[0] / 2], [0, 0, 1.0]])
    return scene_middle @ np.linalg.inv(to_middle) @ about_middle


def _view(scene: Image, camera: NDArray[np.float64]) -> Image:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (FRAME_SIDE, FRAME_SIDE)
    view = cv2.warpAffine(scene, camera[:2], size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return view.astype(np.uint8, copy=False)


def _occlude(rng: np.random.Generator, frame: Image, front: Image, box: Box) -> None:
    """Draws a cut-out of `front` over a part of the box, in place."""
    size = np.array(box.size) * rng.uniform(0.5, 0.9, size=2)
    centre = np.array(box.centre) + rng.choice([-1, 1], size=2) * np.array(box.size) * rng.uniform(0.2, 0.5, size=2)
    texture = _cut_out(rng, front, size)
    paste(frame, texture, blob_mask(rng, *texture.shape[:2]), Box.of(centre, size))
