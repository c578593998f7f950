"""Rendered clips with exact true boxes: textured targets over a moving scene. They need no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi, sin

import cv2
import numpy as np
from dcfnet.result import Box
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) BGR
POST_WIDTH = 20  # px, width of the occluder


def noise_texture(rng: np.random.Generator, height: int, width: int, contrast: float = 60.0) -> Image:
    """Random texture, uint8 (height, width, 3) BGR: detail at several sizes, more contrast in grey than in colour."""
    texture = np.full((height, width, 3), rng.uniform(80, 175, size=3), dtype=np.float32)
    for cell in (4, 9, 20, 45):
        shape = (height // cell + 2, width // cell + 2)
        coarse = rng.normal(0, 0.45, size=(*shape, 1)) + rng.normal(0, 0.15, size=(*shape, 3))
        texture += contrast * cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return texture.clip(0, 255).astype(np.uint8)


def blob_mask(rng: np.random.Generator, height: int, width: int, waviness: float = 0.12) -> NDArray[np.float32]:
    """Star-convex mask with soft edges, float32 (height, width) in [0, 1].

    waviness: largest inward depth of each of three waves of the outline; at 0 the outline touches all four sides.
    """
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    waves = sum(rng.uniform(-waviness, 0.0) * (1 + np.cos(k * angle + rng.uniform(0, 2 * pi))) for k in (2, 3, 5))
    squareness = rng.uniform(2, 6)  # 2: an ellipse; larger: closer to the box
    outline = (np.abs(np.cos(angle)) ** squareness + np.abs(np.sin(angle)) ** squareness) ** (-1 / squareness)
    mask: NDArray[np.float64] = np.clip((outline * (1 + waves) - radius) * min(height, width) / 4 + 0.5, 0, 1)
    return mask.astype(np.float32)


def paste(frame: Image, texture: Image, mask: NDArray[np.float32], box: Box, angle: float = 0.0) -> None:
    """Draws `texture` with `mask` as alpha into `box` of the frame, in place, rotated by `angle` degrees.

    texture, mask: the same height and width. One affine map with sub-pixel accuracy maps both onto the box.
    """
    height, width = mask.shape
    scale_x, scale_y = box.w / width, box.h / height
    radians = np.deg2rad(angle)
    rotation = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    linear = rotation @ np.diag([scale_x, scale_y])
    offset = np.array(box.centre) - linear @ np.array([(width - 1) / 2, (height - 1) / 2])
    to_frame = np.hstack([linear, offset[:, None]])
    size = (frame.shape[1], frame.shape[0])
    drawn = cv2.warpAffine(texture, to_frame, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, to_frame, size, flags=cv2.INTER_LINEAR)[..., None]
    frame[:] = (frame * (1 - alpha) + drawn * alpha + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Clip:
    """A rendered clip. frame(t): draws frame t, uint8 (H, W, 3) BGR. box(t): exact true box, 0-based frame pixels."""

    length: int
    frame: Callable[[int], Image]
    box: Callable[[int], Box]

    def kept(self) -> Clip:
        """The same clip, with all frames drawn once and kept in memory. Do not change them."""
        frames = [self.frame(t) for t in range(self.length)]
        return Clip(self.length, frames.__getitem__, self.box)

    def __iter__(self) -> Iterator[tuple[Image, Box]]:
        return ((self.frame(t), self.box(t)) for t in range(self.length))


def render_clip(length: int = 240, width: int = 640, height: int = 360, seed: int = 0, occluder: bool = True) -> Clip:
    """Renders a textured target on a curved path over a panning scene. Its scale changes.

    occluder: whether a post hides a part of the target once, in the middle of the clip. The post is as high as the
    frame, a third as wide as the target, and does not move in the scene.
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
            _draw_post(image, post, post_in_scene - left)
        return image

    return Clip(length, frame, box)


def _draw_post(image: Image, post: Image, left: int) -> None:
    """Draws the post with its left edge at column `left`, clipped to the frame, in place."""
    start, stop = max(left, 0), min(left + post.shape[1], image.shape[1])
    if stop > start:
        image[:, start:stop] = post[:, start - left : stop - left]
