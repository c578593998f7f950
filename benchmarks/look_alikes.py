"""Renders sequences with look-alikes from photographs: python benchmarks/look_alikes.py PHOTOS FOLDER [--count 12].

The target is a cut-out of one photograph that moves over a second one, with a panning camera. The look-alikes are cut
from beside it in the same photograph. They pass close by and, in half of the sequences, in front of it. The boxes are
exact. FOLDER gets OTB's layout: `dcfnet-eval otb FOLDER --protocol tre`. Do not accept a gain of the tracker on other
footage that is lost on these sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding.images import read_image
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Image, blob_mask, paste
from numpy.typing import NDArray

WIDTH, HEIGHT = 400, 300  # px
FRAMES = 120
LOOK_ALIKES = 3
Path2D = Callable[[int], NDArray[np.float64]]


def read(photos: list[Path], rng: np.random.Generator) -> Image:
    """A random photograph, scaled to cover a frame and the path of its camera. uint8 (H, W, 3) BGR."""
    try:
        photo = read_image(photos[rng.integers(len(photos))])
    except SourceError as error:
        raise SystemExit(f"look_alikes: {error}; PHOTOS must contain valid images only") from error
    scale = max((WIDTH + 80) / photo.shape[1], (HEIGHT + 60) / photo.shape[0])
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def wander(rng: np.random.Generator, middle: NDArray[np.float64], reach: float, frequency: float) -> Path2D:
    """A smooth path around `middle`: (x, y), px, at frame t. reach: its amplitude, px. frequency: rad/frame."""
    amplitude, phase = rng.uniform(0.3, 1, size=(2, 2)) * reach, rng.uniform(0, 2 * np.pi, size=(2, 2))
    pace = rng.uniform(0.6, 1.4, size=(2, 2)) * frequency

    def at(t: int) -> NDArray[np.float64]:
        waves: NDArray[np.float64] = (amplitude * np.sin(pace * t + phase)).sum(axis=0)
        return middle + waves

    return at


def sequence(seed: int, photos: list[Path]) -> tuple[list[Image], list[Box | None]]:
    """FRAMES frames, uint8 (HEIGHT, WIDTH, 3) BGR, and the target's box in each."""
    rng = np.random.default_rng(seed)
    scene, source = read(photos, rng), read(photos, rng)
    size = np.array([rng.uniform(24, 60), rng.uniform(24, 60)])
    tall, wide = (int(side * 1.2) for side in size[::-1])
    corner = rng.integers((source.shape[1] - 2 * wide, source.shape[0] - 2 * tall))
    steps = [(0, 0), (wide // 2, 0), (0, tall // 2), (wide // 2, tall // 2)][: LOOK_ALIKES + 1]
    textures = [source[corner[1] + y :, corner[0] + x :][:tall, :wide].copy() for x, y in steps]
    mask, in_front = blob_mask(rng, tall, wide, waviness=0.0), rng.random() < 0.5
    path = wander(rng, np.array([WIDTH / 2, HEIGHT / 2]), 40, 0.06)
    offsets = [wander(rng, np.zeros(2), 1.0 * size.max(), 0.05) for _ in textures[1:]]
    camera = wander(rng, np.array([40.0, 30.0]), 12, 0.05)
    growth = wander(rng, np.ones(2), 0.06, 0.04)
    frames, boxes = [], list[Box | None]()
    for t in range(FRAMES):
        left, top = camera(t).clip(0, (79, 59)).astype(int)
        frame = scene[top : top + HEIGHT, left : left + WIDTH].copy()
        box = Box.of(path(t), size * growth(t)[0])
        around = [Box.of(path(t) + _beside(offset(t), size), size) for offset in offsets]
        drawn = [*zip(textures[1:], around, strict=True)]
        drawn.insert(0 if in_front else len(drawn), (textures[0], box))
        for texture, place in drawn:
            paste(frame, texture, mask, place, angle=0.0)
        frames.append(cv2.GaussianBlur(frame, (0, 0), 0.6).astype(np.uint8, copy=False))
        boxes.append(box)
    return frames, boxes


def _beside(offset: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The offset, made long enough that a look-alike never covers the whole target."""
    shortest = 0.8 * size.mean()
    length = max(float(np.hypot(*offset)), 1e-6)
    return offset * max(length, shortest) / length


def write(folder: Path, frames: list[Image], boxes: list[Box | None]) -> None:
    """Writes a sequence in OTB's layout. A box of None is a frame without a visible target."""
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(folder / "img" / f"{number:04d}.jpg"), frame)
    lines = (f"{b.x + 1:.2f},{b.y + 1:.2f},{b.w:.2f},{b.h:.2f}" if b else "NaN,NaN,NaN,NaN" for b in boxes)
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")


def main(render: Callable[[int, list[Path]], tuple[list[Image], list[Box | None]]], name: str, about: str) -> None:
    """The command line of both rendering scripts. render: makes frames and boxes from a seed and photographs."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    chosen = parser.parse_args()
    photos = sorted(file for file in chosen.photos.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for seed in range(chosen.count):
        write(chosen.folder / f"{name}{seed:02d}", *render(seed, photos))
    print(f"{chosen.folder}: {chosen.count} sequences of {FRAMES} frames")


if __name__ == "__main__":
    main(sequence, "alike", __doc__)
