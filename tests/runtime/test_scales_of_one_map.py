"""With a margin around the search region, one feature map gives the spectra of all scales."""

from __future__ import annotations

import operator
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import ConfigError, Tracker
from dcfnet.config import TrackerConfig
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter.transform import Transform
from dcfnet.filter.windows import cosine_window
from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.rendered import render_clip
from numpy.typing import NDArray

SIDE, BAND, MARGIN = 28, 6, 2
MEAN = np.array([104, 117, 123], np.float32)


def transform(scale: float = 1.0, margin: int = MARGIN) -> Transform:
    return Transform.build(SIDE, BAND, 64, cosine_window(SIDE), np.ascontiguousarray, operator.matmul, margin, scale)


def smooth_map(size: float) -> NDArray[np.float32]:
    """A smooth pattern, `size` times as large, around the middle of a map with a margin."""
    at = (np.arange(SIDE + 2 * MARGIN) - (SIDE + 2 * MARGIN - 1) / 2) / SIDE / size
    rows, columns = np.cos(2 * np.pi * (1.5 * at + 0.1)), np.sin(2 * np.pi * (2 * at - 0.2)) + 0.3
    return np.outer(rows, columns).astype(np.float32)


def test_scale_1_is_the_middle_of_the_map(rng: np.random.Generator) -> None:
    whole = rng.normal(size=(2, 3, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN)).astype(np.float32)
    middle = np.ascontiguousarray(whole[..., MARGIN:-MARGIN, MARGIN:-MARGIN])
    np.testing.assert_allclose(transform().forward(whole), transform(margin=0).forward(middle), atol=1e-4)


@pytest.mark.parametrize("scale", [0.95, 0.9725, 1.0275, 1.05])
def test_a_larger_pattern_at_its_scale_has_the_spectrum_of_the_pattern(scale: float) -> None:
    expected = transform().forward(smooth_map(1.0))
    found, unscaled = transform(scale).forward(smooth_map(scale)), transform().forward(smooth_map(scale))
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 0.01
    assert error < np.abs(unscaled - expected).max() / np.abs(expected).max() / 4


def pixels(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    return patches / 64


def size_ratios(margin: int) -> tuple[int, list[float]]:
    """Patches through the network per search, and found size / true size, for a growing target."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)  # 48 x 48 px
    config = TrackerConfig(patch_size=96 + 2 * margin, margin=margin, update_interval=2)
    calls = []

    def counted(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(len(patches))
        return pixels(patches)

    pipeline = Pipeline.build(config, CpuBackend(), counted, MEAN)
    tracker, ratios = Tracker.of(pipeline), []
    for step in range(40):
        size = 48 * 1.0105**step
        frame = np.full((200, 200, 3), 110, np.uint8)
        frame[:, ::9] = 90
        side = round(size)
        corner = 100 - side // 2
        frame[corner : corner + side, corner : corner + side] = cv2.resize(picture, (side, side))
        if step == 0:
            tracker.init(frame, (corner, corner, side, side))
            calls.clear()
            continue
        box = tracker.update(frame).box
        ratios.append(box.w / side)
    return calls[0], ratios


def test_a_growing_target_is_followed_with_one_patch_per_search() -> None:
    patches, ratios = size_ratios(4)
    assert patches == 1
    patches, expected = size_ratios(0)
    assert patches == 3
    assert min(ratios + expected) > 0.8  # without a scale search the last ratio is 0.67
    np.testing.assert_allclose(ratios, expected, atol=0.05)


def test_boxes_with_and_without_a_margin_agree() -> None:
    clip = render_clip(20, occluder=False)

    def boxes(margin: int) -> list[Box]:
        config = TrackerConfig(patch_size=96 + 2 * margin, margin=margin)
        tracker = Tracker.of(Pipeline.build(config, CpuBackend(), pixels, MEAN))
        tracker.init(clip.frame(0), clip.box(0))
        return [tracker.update(clip.frame(t)).box for t in range(1, clip.length)]

    for one, other in zip(boxes(4), boxes(0), strict=True):
        assert one.iou(other) > 0.85


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 3}, "margin=3: must be a multiple of the model's stride, 4"),
        ({"margin": 60}, "leave room for the search region in patch_size=120"),
        ({"margin": 4, "scales": 5, "scale_step": 1.05}, "margin=4: too small for the largest scale, 1.103; .* 5.7 px"),
    ],
)
def test_margins_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tracker("deep", device="cpu", config=settings)
