"""Augmentation of pairs: mirroring, greyscale, light changes, blur and small errors of the box size."""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet.result import Box
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def augment_pair(rng: np.random.Generator, frames: list[Image], boxes: list[Box]) -> tuple[list[Image], list[Box]]:
    """The pair with random changes: uint8 (H, W, 3) frames and their boxes, as new arrays.

    Both frames are mirrored or made grey together. Light and blur change independently, as between two real frames.
    """
    if rng.random() < 0.5:
        boxes = [mirror_box(box, frame.shape[1]) for box, frame in zip(boxes, frames, strict=True)]
        frames = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]
    if rng.random() < 0.25:
        frames = [cv2.cvtColor(cv2.cvtColor(f, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) for f in frames]  # type: ignore[misc]
    frames = [_blur(rng, _relight(rng, frame), box) for frame, box in zip(frames, boxes, strict=True)]
    return frames, [boxes[0], _rescale(rng, boxes[1])]


def mirror_box(box: Box, frame_width: int) -> Box:
    """The box after a left-right mirroring of the frame, frame pixels."""
    return Box(frame_width - box.x - box.w, box.y, box.w, box.h)


def _relight(rng: np.random.Generator, frame: Image) -> Image:
    gain = np.exp(rng.normal(0, 0.08) + rng.normal(0, 0.02, size=3))
    bias = rng.normal(0, 4)
    relit: Image = np.clip(frame * gain + bias + 0.5, 0, 255).astype(np.uint8)
    return relit


def _blur(rng: np.random.Generator, frame: Image, box: Box) -> Image:
    """Blurs one frame in five, with a sigma of 0.5 to 3 % of the target size."""
    sigma = rng.uniform(0.005, 0.03) * (box.w * box.h) ** 0.5
    if rng.random() > 0.2 or sigma < 0.2:  # below 0.2 px the kernel has a width of one pixel
        return frame
    return cv2.GaussianBlur(frame, (0, 0), sigma).astype(np.uint8, copy=False)


def _rescale(rng: np.random.Generator, box: Box) -> Box:
    """The box scaled about its centre by a factor with a std of about 2 %: a tracker's size is never exact."""
    scale = np.exp(rng.normal(0, 0.02))
    return Box.of(box.centre, (box.w * scale, box.h * scale))
