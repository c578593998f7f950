"""Renders small footage for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from dcfnet_evaluation.rendered import noise_texture, render_clip


def make_otb_sequence(folder: Path, length: int, seed: int = 0) -> None:
    """A rendered clip in the layout of OTB, with 1-based boxes."""
    (folder / "img").mkdir(parents=True)
    rows = []
    for t, (frame, box) in enumerate(render_clip(length, 320, 240, seed=seed, occluder=False)):
        cv2.imwrite(str(folder / "img" / f"{t + 1:04d}.png"), frame)
        rows.append(f"{box.x + 1},{box.y + 1},{box.w},{box.h}")
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")


def make_otb_dataset(root: Path, length: int, names: Iterable[str] = ("Alpha", "Beta")) -> Path:
    """A data set in the layout of OTB: a rendered sequence for each name, all different. Returns `root`."""
    for seed, name in enumerate(names):
        make_otb_sequence(root / name, length, seed)
    return root


def make_photos(folder: Path, count: int) -> None:
    """Textures in place of photos."""
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), noise_texture(np.random.default_rng(100 + i), 240, 320))
