"""Scenes: small grey pictures of whole frames, and the translation between two of them.

The translation is measured by OpenCV's phase correlation with a Hann window. docs/tuning.md compares it with optical
flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.pipeline import Pipeline

Scenes = NDArray[np.uint8]  # (N, SCENE_SIDE, SCENE_SIDE), see `TrackState.scenes`
SCENE_SIDE = 128  # px; a power of two, for the Fourier transform
SAMPLES_PER_CELL = 2  # pixels of a frame along each side of a pixel of its scene, if the frame has as many
LEAST_SIDE = 32  # px: a smaller frame has no scene
MIN_RESPONSE = 0.3  # of the phase correlation, in [0, 1]: below it the translation is not reliable (docs/tuning.md)
LARGEST_SHIFT = 3 / 8  # share of the frame: the parts that both scenes show are small after a larger translation


def read_scenes(pipeline: Pipeline, frames: Mapping[int, Any], sources: NDArray[np.intp]) -> Scenes:
    """The scenes of the frames of N targets. May wait for a device.

    frames: by source, as `Backend.frame` returns them. sources: (N,), of the targets. The scene of a small frame is
    0 (unknown). Without `camera_motion` scenes are (N, 0, 0).
    """
    if not pipeline.config.camera_motion:
        return np.zeros((len(sources), 0, 0), np.uint8)
    scenes = np.zeros((len(sources), SCENE_SIDE, SCENE_SIDE), np.uint8)
    for index in set(sources.tolist()):
        scenes[sources == index] = _scene(pipeline, frames[index])
    return scenes


def _scene(pipeline: Pipeline, frame: Any) -> Scenes | int:
    """The scene of one frame; 0 for a frame that is too small."""
    height, width = frame.shape[:2]
    if min(height, width) < LEAST_SIDE:
        return 0
    pixels = pipeline.backend.read_pixels(frame, _samples(height), _samples(width))
    small = cv2.resize(pixels, (SCENE_SIDE, SCENE_SIDE), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else small[..., :3].mean(axis=2)  # without alpha
    return np.rint(grey).astype(np.uint8)


def _samples(side: int) -> slice:
    """The sampled rows or columns of a frame of this height or width."""
    return slice(None, None, max(side // (SCENE_SIDE * SAMPLES_PER_CELL), 1))


def translations(before: Scenes, after: Scenes) -> Pairs:
    """How far what is in view moved between two scenes of N targets: (N, 2), (x, y), share of the frame.

    0 for an unknown scene, for equal ones, and if the measurement is not reliable. Targets with the same two scenes
    share one measurement.
    """
    moved, known = np.zeros((len(before), 2)), dict[tuple[bytes, bytes], Pairs]()
    for row, pair in enumerate(zip(before, after, strict=True)):
        key = (pair[0].tobytes(), pair[1].tobytes())
        if key not in known:
            known[key] = _translation(*pair)
        moved[row] = known[key]
    return moved


def _translation(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Pairs:
    if not before.any() or not after.any() or np.array_equal(before, after):
        return np.zeros(2)
    shift, response = cv2.phaseCorrelate(before.astype(np.float32), after.astype(np.float32), _hann_window())
    share: Pairs = np.array(shift) / SCENE_SIDE
    reliable = response >= MIN_RESPONSE and bool((np.abs(share) <= LARGEST_SHIFT).all())  # false for NaN
    return share if reliable else np.zeros(2)


@cache
def _hann_window() -> NDArray[np.float32]:
    return np.asarray(cv2.createHanningWindow((SCENE_SIDE, SCENE_SIDE), cv2.CV_32F), np.float32)
