"""Colour histograms: the counted pixels, the response, and their effect on the tracker."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from dcfnet.config import TrackerConfig
from dcfnet.devices.backend import Backend
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter.colour_histogram import BINS, ColourModel, mean_windows
from dcfnet.filter.response import RESPONSE_SIDE, find_peaks
from dcfnet.result import Box
from dcfnet.tracker import Tracker
from dcfnet_evaluation.rendered import noise_texture

MEAN = np.array([104, 117, 123], np.float32)
SIDE, TARGET = 96, 32.0
RED, GREEN, GREY = (20, 20, 200), (20, 200, 20), (90, 90, 90)


def colour_model(step: int = 2, backend: Backend | None = None) -> ColourModel:
    return ColourModel.build(backend or CpuBackend(), MEAN, SIDE, step, TARGET, RESPONSE_SIDE, rate=0.1)


def patch(x: float = 0, y: float = 0, target: tuple[int, ...] = RED, around: tuple[int, ...] = GREEN) -> np.ndarray:
    """A patch with a target (x, y) px from the middle, mean subtracted."""
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = around
    left, top = (round(SIDE / 2 + shift - TARGET / 2) for shift in (x, y))
    picture[max(top, 0) : top + int(TARGET), max(left, 0) : left + int(TARGET)] = target
    return (picture.astype(np.float32) - MEAN).transpose(2, 0, 1)[None]


def bin_of(colour: tuple[int, ...]) -> int:
    blue, green, red = (level // 16 for level in colour)
    return (blue * 16 + green) * 16 + red


@pytest.mark.parametrize("step", [1, 2, 3])
def test_target_and_surroundings_have_their_own_histograms(step: int) -> None:
    (target, around), *_ = colour_model(step).histograms(patch())
    assert target.dtype == np.float32
    for histogram, colour in ((target, RED), (around, GREEN)):
        assert histogram.shape == (BINS,)
        assert histogram[bin_of(colour)] == pytest.approx(1)
        assert histogram.sum() == pytest.approx(1)


def test_pixels_beyond_the_surroundings_do_not_count() -> None:
    pixels = patch()
    distance = np.abs(np.arange(SIDE) - (SIDE - 1) / 2)
    far = np.maximum(distance, distance[:, None]) > TARGET
    pixels[0][:, far] = (np.array(GREY, np.float32) - MEAN)[:, None]
    assert colour_model(1).histograms(pixels)[0, :, bin_of(GREY)].tolist() == [0, 0]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (15, 0), (0, -12), (-18, 9)])
def test_the_response_is_highest_at_the_new_position_of_the_target(x: int, y: int) -> None:
    colours = colour_model()
    response = colours.response(patch(x, y), colours.histograms(patch()))
    assert response.shape == (1, RESPONSE_SIDE, RESPONSE_SIDE)
    assert response.dtype == np.float32
    assert 0 <= response.min() < 0.1
    assert 0.9 < response.max() <= 1
    shift = find_peaks(response).shift[0] * SIDE / RESPONSE_SIDE
    np.testing.assert_allclose(shift, (x, y), atol=1.5)


def test_a_colour_in_neither_histogram_has_probability_one_half() -> None:
    colours = colour_model()
    response = colours.response(patch(target=GREY, around=GREY), colours.histograms(patch()))
    np.testing.assert_allclose(response, 0.5, atol=1e-6)


def test_the_weights_are_means_over_the_target() -> None:
    """The reference divides each pixel into a hundred parts."""
    position, shift = np.arange(0, 48, 2) - 23.5, np.array([0.0, 5.25, -17.5, 23.9])
    windows = mean_windows(position, 2, 16.0, shift)
    fine = (np.arange(4800) + 0.5) / 100 - 24.5  # each counted pixel covers 1 px on either side
    for weights, middle in zip(windows, shift, strict=True):
        inside = (np.abs(fine - middle) < 8).reshape(-1, 200).mean(axis=1)
        np.testing.assert_allclose(weights, inside / inside.sum(), atol=2e-3)
    assert windows.dtype == np.float32


def test_an_update_blends_the_histograms() -> None:
    colours = colour_model()
    blended = colours.blend(colours.histograms(patch()), patch(target=GREY))
    assert blended[0, 0, bin_of(RED)] == pytest.approx(0.9)
    assert blended[0, 0, bin_of(GREY)] == pytest.approx(0.1)
    assert blended[0, 1, bin_of(GREEN)] == pytest.approx(1)


def flickering(t: int, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """A red target with another texture in each frame, which moves through a grey scene."""
    frame = cv2.cvtColor(cv2.cvtColor(SCENE, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    box = Box(40 + 4 * t, 60 + 2 * t, 40, 40)
    texture = noise_texture(rng, 40, 40, contrast=200).astype(np.float32).mean(axis=2, keepdims=True)
    frame[int(box.y) : int(box.y) + 40, int(box.x) : int(box.x) + 40] = (texture * (0.2, 0.3, 1.2)).clip(0, 255)
    return frame, box


SCENE = noise_texture(np.random.default_rng(7), 240, 320)


def test_colours_track_a_target_whose_texture_changes() -> None:
    overlaps = {}
    for share in (0.0, TrackerConfig().colour_share):
        rng, tracker = np.random.default_rng(0), Tracker("dcfnet", "cpu", {"colour_share": share})
        frame, box = flickering(0, rng)
        tracker.init(frame, box)
        for t in range(1, 40):
            frame, box = flickering(t, rng)
            overlaps[share] = tracker.update(frame).box.iou(box)
    assert overlaps[TrackerConfig().colour_share] > 0.5
    assert overlaps[0.0] < overlaps[TrackerConfig().colour_share] - 0.05


def test_colours_accept_grey_frames() -> None:
    tracker, rng = Tracker(device="cpu"), np.random.default_rng(1)
    frame = noise_texture(rng, 120, 160)[..., 0]
    tracker.init(frame, Box(60, 40, 30, 30))
    assert tracker.update(frame).box.iou(Box(60, 40, 30, 30)) > 0.95
