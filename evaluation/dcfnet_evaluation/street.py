"""The clip of the demo: a car drives along a street and passes behind a tree. The true boxes are exact."""

from __future__ import annotations

from math import pi, sin

import cv2
import numpy as np
from dcfnet.result import Box
from numpy.typing import NDArray

from dcfnet_evaluation.rendered import Clip, Image, noise_texture, paste

WIDTH, HEIGHT = 640, 360  # px
STREET_WIDTH = 1240  # px, of the whole street; the camera shows a part of it
MARGIN = 40  # px around the view, for the shaking camera
ROAD = 268  # px, upper edge of the road
CAR_WIDTH, CAR_HEIGHT = 104, 52  # px, at scale 1
DETAIL = 4  # the car is drawn this many times larger, for smooth edges
TREE = 640  # px, position of the tree that hides the car for a moment
Colour = tuple[int, int, int]  # BGR


def render_street(length: int = 240, seed: int = 0) -> Clip:
    """A clip of 640 x 360 px. The car changes its size with its distance, and the camera pans and shakes."""
    rng = np.random.default_rng(seed)
    street, trunk = _street(rng), noise_texture(rng, HEIGHT + 2 * MARGIN, 26, contrast=30) // 3
    trunk[..., 2] += 25  # a brown trunk
    car, mask = _car()

    def view(t: int) -> tuple[int, int]:
        pan = (STREET_WIDTH - WIDTH - 2 * MARGIN) * (0.5 - 0.5 * np.cos(pi * t / 240))
        return round(MARGIN + pan + 3 * sin(t / 7)), round(MARGIN + 4 * sin(t / 11))

    def box(t: int) -> Box:
        left, top = view(t)
        scale = 1 + 0.3 * sin(2 * pi * t / 200)
        x = MARGIN + 120 + (STREET_WIDTH - 320) * (0.5 - 0.5 * np.cos(pi * t / 240))
        y = MARGIN + ROAD + 26 + 10 * sin(t / 25)
        return Box.of((x - left, y - top), (CAR_WIDTH * scale, CAR_HEIGHT * scale))

    def frame(t: int) -> Image:
        left, top = view(t)
        image = street[top : top + HEIGHT, left : left + WIDTH].copy()
        paste(image, car, mask, box(t), angle=1.5 * sin(t / 9))
        _draw_tree(image, trunk[top : top + HEIGHT], TREE - left)
        return image

    return Clip(length, frame, box)


def _street(rng: np.random.Generator) -> Image:
    """The whole street without car and tree, uint8 (HEIGHT + 2 MARGIN, STREET_WIDTH, 3)."""
    height = HEIGHT + 2 * MARGIN
    sky = np.linspace((235, 190, 140), (245, 235, 220), MARGIN + ROAD)[:, None]  # BGR, from the zenith to the horizon
    scene = np.concatenate([sky.repeat(STREET_WIDTH, 1), np.full((height - MARGIN - ROAD, STREET_WIDTH, 3), 95.0)])
    image = scene.astype(np.uint8)
    x = np.arange(STREET_WIDTH + 1)
    hills = np.stack([x, MARGIN + 150 + 25 * np.sin(x / 130) + 12 * np.sin(x / 47)], axis=1)
    _fill(image, [*hills, (STREET_WIDTH, MARGIN + ROAD), (0, MARGIN + ROAD)], (120, 165, 130))
    left = -20
    while left < STREET_WIDTH:
        width = int(rng.integers(90, 150))
        _draw_house(image, rng, left, width)
        _draw_bush(image, rng, left + width + 15)
        left += width + 30
    cv2.rectangle(image, (0, MARGIN + ROAD - 12), (STREET_WIDTH, MARGIN + ROAD), (170, 175, 175), -1)  # the pavement
    for dash in range(0, STREET_WIDTH, 60):
        cv2.rectangle(image, (dash, MARGIN + ROAD + 62), (dash + 30, MARGIN + ROAD + 66), (225, 230, 230), -1)
    grain = noise_texture(rng, height, STREET_WIDTH, contrast=9).astype(np.float32)
    noisy: Image = np.clip(image + grain - grain.mean(axis=(0, 1)), 0, 255).astype(np.uint8)
    return noisy


def _draw_house(image: Image, rng: np.random.Generator, left: int, width: int) -> None:
    wall, roof = _colour(rng, 120, 215), _colour(rng, 50, 120)
    top, foot = MARGIN + int(rng.integers(95, 150)), MARGIN + ROAD - 12
    cv2.rectangle(image, (left, top), (left + width, foot), wall, -1)
    _fill(image, [(left - 8, top), (left + width / 2, top - 45), (left + width + 8, top)], roof)
    for column in range(left + 12, left + width - 20, 30):
        for row in range(top + 14, foot - 30, 38):
            cv2.rectangle(image, (column, row), (column + 16, row + 22), (90, 70, 55), -1)
            cv2.rectangle(image, (column, row), (column + 16, row + 22), (230, 235, 235), 2)


def _draw_bush(image: Image, rng: np.random.Generator, x: int) -> None:
    for _ in range(14):
        centre = (x + int(rng.integers(-16, 16)), MARGIN + ROAD - 14 - int(rng.integers(0, 34)))
        colour = (int(rng.integers(40, 80)), int(rng.integers(95, 150)), int(rng.integers(45, 90)))
        cv2.circle(image, centre, int(rng.integers(7, 13)), colour, -1, cv2.LINE_AA)


def _draw_tree(image: Image, trunk: Image, left: int) -> None:
    """Draws the trunk in front of the car, its left edge at column `left`, clipped to the frame, in place."""
    start, stop = max(left, 0), min(left + trunk.shape[1], image.shape[1])
    if stop > start:
        image[:, start:stop] = trunk[:, start - left : stop - left]


def _car() -> tuple[Image, NDArray[np.float32]]:
    """The car and its mask, uint8 (CAR_HEIGHT, CAR_WIDTH, 3) and float32 in [0, 1]. It touches all sides of its box."""
    height, width = CAR_HEIGHT * DETAIL, CAR_WIDTH * DETAIL
    image, mask = np.full((height, width, 3), 95, np.uint8), np.zeros((height, width, 3), np.uint8)
    body = [(0, 60), (2, 42), (22, 36), (36, 6), (66, 0), (80, 10), (88, 34), (100, 42), (100, 84), (0, 84)]
    for canvas, colour in ((image, (45, 45, 205)), (mask, (255, 255, 255))):
        _fill(canvas, [(x / 100 * width, y / 100 * height) for x, y in body], colour)
    for window in ([(27, 36), (38, 12), (52, 10), (52, 36)], [(56, 36), (56, 10), (67, 9), (76, 16), (82, 36)]):
        _fill(image, [(x / 100 * width, y / 100 * height) for x, y in window], (225, 205, 170))
    cv2.rectangle(image, (0, int(0.58 * height)), (width, int(0.63 * height)), (235, 235, 235), -1)  # a stripe
    cv2.circle(image, (int(0.97 * width), int(0.5 * height)), 5 * DETAIL // 2, (170, 240, 255), -1)  # a headlight
    for x in (0.23, 0.77):
        centre, radius = (int(x * width), int(0.79 * height)), int(0.205 * height)
        cv2.circle(mask, centre, radius, (255, 255, 255), -1)
        for share, colour in ((1.0, (30, 30, 30)), (0.6, (190, 190, 190)), (0.2, (60, 60, 60))):
            cv2.circle(image, centre, int(share * radius), colour, -1)
    size = (CAR_WIDTH, CAR_HEIGHT)
    small, alpha = (cv2.resize(canvas, size, interpolation=cv2.INTER_AREA) for canvas in (image, mask))
    opacity: NDArray[np.float32] = np.divide(alpha[..., 0], 255, dtype=np.float32)
    return np.asarray(small, np.uint8), opacity


def _colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    blue, green, red = rng.integers(low, high, 3)
    return int(blue), int(green), int(red)


def _fill(image: Image, corners: list[tuple[float, float]], colour: Colour) -> None:
    """Fills a polygon; corners are (x, y), px."""
    cv2.fillPoly(image, [np.round(np.array(corners)).astype(np.int32)], colour, cv2.LINE_AA)
