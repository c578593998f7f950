"""Scenes of smooth noise, and a textured target at any place in them."""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Image, noise_texture

WIDTH, HEIGHT, SIDE = 320, 240, 40  # px, of a scene and of the target


def render_scenes(count: int) -> list[Image]:
    """Scenes without a target: smooth noise with large and small patterns."""
    rng = np.random.default_rng(5)
    large = [cv2.resize(noise_texture(rng, 6, 8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for _ in range(count)]
    mixed = [cv2.addWeighted(each, 0.7, noise_texture(rng, HEIGHT, WIDTH), 0.3, 0) for each in large]
    return [each.astype(np.uint8, copy=False) for each in mixed]


def render_target(seed: int) -> Image:
    """A target of SIDE x SIDE px."""
    return noise_texture(np.random.default_rng(seed), SIDE, SIDE)


def with_target(scene: Image, cut_out: Image, place: tuple[int, int]) -> Image:
    """The scene with a target whose left upper corner is at `place`."""
    frame = scene.copy()
    frame[place[1] : place[1] + SIDE, place[0] : place[0] + SIDE] = cut_out
    return frame


def box_at(place: tuple[int, int]) -> Box:
    """The box of a target at `place`."""
    return Box(float(place[0]), float(place[1]), SIDE, SIDE)
