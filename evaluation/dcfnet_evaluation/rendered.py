"""Rendered clips with exact truth: textured targets over a moving scene, no data needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi, sin

import cv2
import numpy as np
from dcfnet.geometry import Box
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) BGR
POST_WIDTH = 20  # px, of the occluder


def noise_texture(rng: np.random.Generator, height: int, width: int, contrast: float = 60.0) -> Image:
    """A random texture with detail at several sizes, more light and dark than colour, uint8 (height, width, 3)."""
    texture = np.full((height, width, 3), rng.uniform(80, 175, size=3), dtype=np.float32)
    for cell in (4, 9, 20, 45):
        shape = (height // cell + 2, width // cell + 2)
        coarse = rng.normal(0, 0.45, size=(*shape, 1)) + rng.normal(0, 0.15, size=(*shape, 3))
        texture += contrast * cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return texture.clip(0, 255).astype(np.uint8)


def blob_mask(rng: np.random.Generator, height: int, width: int, waviness: float = 0.12) -> NDArray[np.float32]:
    """A soft-edged, star-convex outline, float32 (height, width) in [0, 1].

    waviness: how far, at most, each of three waves draws it in; at 0 it touches all four sides.
    """
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    waves = sum(rng.uniform(-waviness, 0.0) * (1 + np.cos(k * angle + rng.uniform(0, 2 * pi))) for k in (2, 3, 5))
    squareness = rng.uniform(2, 6)  # 2 is an ellipse, more is nearer to the whole box
    outline = (np.abs(np.cos(angle)) ** squareness + np.abs(np.sin(angle)) ** squareness) ** (-1 / squareness)
    mask: NDArray[np.float64] = np.clip((outline * (1 + waves) - radius) * min(height, width) / 4 + 0.5, 0, 1)
    return mask.astype(np.float32)


def paste(frame: Image, texture: Image, mask: NDArray[np.float32], box: Box, angle: float = 0.0) -> None:
    """Draws `texture` through `mask` into `box` of the frame, turned by `angle` degrees about its centre, in place.

    Sub-pixel: texture and mask, of one size, are mapped onto the box by one affine map.
    """
    height, width = mask.shape
    scale_x, scale_y = box.w / width, box.h / height
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag([scale_x, scale_y])
    offset = np.array(box.centre) - linear @ np.array([(width - 1) / 2, (height - 1) / 2])
    to_frame = np.hstack([linear, offset[:, None]])
    size = (frame.shape[1], frame.shape[0])
    drawn = cv2.warpAffine(texture, to_frame, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, to_frame, size, flags=cv2.INTER_LINEAR)[..., None]
    frame[:] = (frame * (1 - alpha) + drawn * alpha + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Clip:
    """A rendered clip: frame(t) draws frame t, box(t) is its exact truth, 0-based frame pixels."""

    length: int
    frame: Callable[[int], Image]
    box: Callable[[int], Box]

    def __iter__(self) -> Iterator[tuple[Image, Box]]:
        return ((self.frame(t), self.box(t)) for t in range(self.length))


def render_clip(length: int = 240, width: int = 640, height: int = 360, seed: int = 0, occluder: bool = True) -> Clip:
    """A textured target on a winding path over a panning scene, changing scale, partly occluded once half-way.

    The occluder is a post as high as the frame, a third as wide as the target, that stands still in the scene.
    """
    rng = np.random.default_rng(seed)
    scene = noise_texture(rng, height + 160, width + 320)
    texture, mask = noise_texture(rng, 72, 56, contrast=90), blob_mask(rng, 72, 56, waviness=0.0)
    post = (scene[:height, :POST_WIDTH] // 3).astype(np.uint8)

    def pan(t: int) -> tuple[int, int]:
        return round(80 + 70 * sin(t / 60)), round(40 + 30 * sin(t / 45))

    def box(t: int) -> Box:
        phase = t / 240
        scale = 1 + 0.35 * sin(2 * pi * phase)
        centre = (width * (0.5 + 0.3 * sin(4.2 * phase)), height * (0.5 + 0.22 * sin(9 * phase)))
        return Box.of(centre, (56 * scale, 72 * scale))

    post_in_scene = round(box(length // 2).centre[0]) - POST_WIDTH // 2 + pan(length // 2)[0]

    def frame(t: int) -> Image:
        left, top = pan(t)
        image = scene[top : top + height, left : left + width].copy()
        paste(image, texture, mask, box(t), angle=4 * sin(t / 20))
        if occluder:
            _draw(image, post, post_in_scene - left)
        return image

    return Clip(length, frame, box)


def _draw(image: Image, post: Image, left: int) -> None:
    """Draws an upright post whose left edge is at column `left`, cut at the frame's borders, in place."""
    start, stop = max(left, 0), min(left + post.shape[1], image.shape[1])
    if stop > start:
        image[:, start:stop] = post[:, start - left : stop - left]
