"""Measures resident memory while many 1080p frames are tracked: python benchmarks/soak.py [FRAMES] [MODEL].

The target is rendered on a large scene. MODEL: "dcfnet" (the default) or "deep". Prints a line per thousand frames;
memory in MB.
"""

from __future__ import annotations

import sys
import time

import cv2
import dcfnet
import numpy as np
import psutil
from dcfnet_evaluation.rendered import noise_texture, paste


def main(frames: int, model: str) -> None:
    rng = np.random.default_rng(0)
    scene, texture = noise_texture(rng, 1080, 1920), noise_texture(rng, 120, 90, contrast=90)
    mask, process = np.ones((120, 90), np.float32), psutil.Process()
    tracker, sizes, overlaps, start = dcfnet.Tracker(model), [], [], time.perf_counter()
    buffer = np.empty_like(scene)
    for t in range(frames + 1):
        truth = dcfnet.Box.of((960 + 700 * np.sin(t / 150), 540 + 300 * np.sin(t / 97)), (90, 120))
        _draw(buffer, scene, texture, mask, truth)
        if t == 0:
            tracker.init(buffer, truth)
            continue
        overlaps.append(tracker.update(buffer).box.iou(truth))
        sizes.append(process.memory_info().rss / 1e6)
        if t % 1000 == 0:
            print(f"{t:6d} frames  {sizes[-1]:6.1f} MB  {t / (time.perf_counter() - start):5.1f} FPS with drawing")
    print(
        f"peak {max(sizes):.1f} MB, growth after frame 100 {sizes[-1] - sizes[99]:+.1f} MB, "
        f"overlap {np.mean(overlaps):.2f}"
    )


def _draw(buffer: np.ndarray, scene: np.ndarray, texture: np.ndarray, mask: np.ndarray, truth: dcfnet.Box) -> None:
    """Draws the scene, and the target in a region around it only, so that most of the time is tracking."""
    cv2.copyTo(scene, None, buffer)
    x, y = (int(value) - 8 for value in (truth.x, truth.y))
    region = buffer[y : y + 140, x : x + 110]
    paste(region, texture, mask, dcfnet.Box(truth.x - x, truth.y - y, truth.w, truth.h))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2] if len(sys.argv) > 2 else "dcfnet")
