"""Boxes, sizes, centres and their limits."""

from __future__ import annotations

import json
import math
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.errors import InvalidBoxError
from dcfnet.result import Box
from dcfnet.tracking.geometry import (
    CENTRES_A_PIXEL,
    STEPS_A_PIXEL,
    limit_centre,
    limit_size,
    scale_pyramid,
    search_region,
    size_limits,
    target_box,
    to_centre_grid,
    to_step_grid,
)
from hypothesis import given
from hypothesis import strategies as st

FRAME = (100, 60)
reals = st.floats(-1e4, 1e4)
sides = st.floats(0.5, 1e3)


def test_the_centre_of_a_box_is_halfway_between_its_first_and_last_pixel() -> None:
    assert Box(10, 20, 3, 5).centre == (11, 22)
    assert Box(0, 0, 100, 60).centre == (49.5, 29.5)


@given(reals, reals, sides, sides)
def test_centre_and_size_define_the_box(x: float, y: float, w: float, h: float) -> None:
    box = Box(x, y, w, h)
    assert tuple(Box.of(box.centre, box.size)) == pytest.approx(tuple(box), abs=1e-9)


boxes = st.builds(Box, reals, reals, sides, sides)


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(first: Box, second: Box) -> None:
    assert 0 <= first.iou(second) <= 1 + 1e-9
    assert first.iou(second) == pytest.approx(second.iou(first))
    assert first.iou(first) == pytest.approx(1)


def test_iou_equals_a_count_of_pixels() -> None:
    grid = np.mgrid[0:40, 0:40]
    first, second = Box(3, 4, 10, 20), Box(8, 10, 20, 10)

    def covers(box: Box) -> np.ndarray:
        return (grid[1] >= box.x) & (grid[1] < box.x + box.w) & (grid[0] >= box.y) & (grid[0] < box.y + box.h)

    both, either = covers(first) & covers(second), covers(first) | covers(second)
    assert first.iou(second) == pytest.approx(both.sum() / either.sum())


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ((math.nan, 0, 10, 10), "finite"),
        ((0, 0, math.inf, 10), "finite"),
        ((0, 0, 0, 10), "at least"),
        ((0, 0, 10, -4), "at least"),
        ((0, 0, 10, MIN_TARGET_SIDE - 0.1), "at least"),
        ((100, 10, 10, 10), "in the frame of 100 x 60"),
        ((10, -10.4, 10, 10), "in the frame of 100 x 60"),
        ((-500, 10, 10, 10), "in the frame of 100 x 60"),
        ((1, 2, 3), "four numbers"),
        (([1, 2, 30, 40],), "four numbers"),
        (("a", 2, 30, 40), "four numbers"),
        ((10**400, 2, 30, 40), "four numbers"),
        ((0, 0, 1e300, 10), "from -1e\\+12 to 1e\\+12"),
        ((-1e300, 0, 1e300, 10), "from -1e\\+12"),
    ],
)
def test_the_error_for_an_invalid_box_gives_value_and_rule(box: tuple[float, ...], rule: str) -> None:
    with pytest.raises(InvalidBoxError, match=rule) as caught:
        target_box(box, FRAME)
    assert str(box[0]) in str(caught.value)


@pytest.mark.parametrize(
    "box", ["1234", b"1234", bytearray(b"1234"), {1, 2, 30, 40}, dict.fromkeys((1, 2, 30, 40)), 1e300, None, "a"]
)
def test_text_sets_and_mappings_are_no_boxes(box: Any) -> None:
    """Their elements are numbers, but a set and a mapping have no order of x, y, w and h."""
    with pytest.raises(InvalidBoxError, match=r"box .*: a box is the four numbers x, y, w, h, in this order"):
        target_box(box, FRAME)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10.25, 5.5, 20, 30), (10.25, 5.5, 20, 30)),  # floats stay floats
        ((0, 0, 100, 60), (0, 0, 100, 60)),  # the whole frame
        ((-5, 10, 20, 20), (0, 10, 15, 20)),
        ((90, 50, 50, 50), (90, 50, 10, 10)),  # columns 90 to 99 are ten pixels
        ((98.5, 10, 30, 20), (97, 10, 3, 20)),  # the rest is extended inwards to the minimum size
        ((-10, -10, 500, 500), (0, 0, 100, 60)),  # larger than the frame
        ([1, 2, 30, 40], (1, 2, 30, 40)),
        (np.array([1, 2, 30, 40]), (1, 2, 30, 40)),
    ],
)
def test_a_box_across_the_border_is_cut_to_the_frame(box: object, expected: tuple[float, ...]) -> None:
    assert tuple(target_box(box, FRAME)) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("scales", [1, 3, 5, 7])
def test_the_middle_scale_is_exactly_one(scales: int) -> None:
    pyramid = scale_pyramid(scales, 1.0275)
    assert len(pyramid) == scales
    assert pyramid[scales // 2] == 1.0
    np.testing.assert_allclose(pyramid * pyramid[::-1], 1)


def test_a_search_region_does_not_swap_width_and_height() -> None:
    np.testing.assert_allclose(search_region(np.array([[10.0, 40.0]]), 2.0), [[30, 120]])


@given(sides, sides, st.floats(0.01, 100))
def test_a_limited_size_is_within_its_limits_and_keeps_its_aspect_ratio(w: float, h: float, scale: float) -> None:
    initial = np.maximum(np.array([[w, h]]), MIN_TARGET_SIDE)
    limited = limit_size(initial * scale, initial, size_limits(initial, np.array([[640.0, 360.0]]), (0.2, 5.0)))
    assert limited.min() >= MIN_TARGET_SIDE - 1e-9
    np.testing.assert_allclose(limited[0, 0] / limited[0, 1], initial[0, 0] / initial[0, 1])
    assert (limited <= np.maximum(initial, [[640, 360]]) + 1e-9).all()


def test_a_size_inside_the_limits_does_not_change_by_one_bit() -> None:
    initial = np.array([[33.3, 71.7]])
    size = initial * 1.0275**3 / 1.0275**5
    assert np.array_equal(limit_size(size, initial, size_limits(initial, np.array([[640.0, 360.0]]), (0.2, 5.0))), size)


def test_centres_are_rounded_to_the_nearest_point_of_the_grid(rng: np.random.Generator) -> None:
    centres = rng.uniform(-10, 4000, size=(100, 2))
    placed = to_centre_grid(centres)
    assert np.array_equal(placed * CENTRES_A_PIXEL, np.rint(placed * CENTRES_A_PIXEL))
    assert np.abs(placed - centres).max() <= 0.5 / CENTRES_A_PIXEL
    assert np.array_equal(to_centre_grid(placed), placed)


@pytest.mark.parametrize("patch_size", [48, 80, 108, 125])
def test_sampled_positions_are_exact_in_float32(rng: np.random.Generator, patch_size: int) -> None:
    """The positions of all pixels of a patch, up to 8192 px from the corner of the frame."""
    centres = to_centre_grid(rng.uniform(1000, 7000, size=(50, 2)))
    regions = rng.uniform(10, 2000, size=(50, 2))
    stepped = to_step_grid(regions, patch_size)
    assert np.abs(stepped - regions).max() <= patch_size / STEPS_A_PIXEL / 2
    steps = (stepped / patch_size).astype(np.float32)
    first = (centres - (patch_size - 1) / 2 * (stepped / patch_size)).astype(np.float32)
    for index in range(patch_size):
        exact = (
            centres + (index - (patch_size - 1) / 2) * np.rint(regions * (STEPS_A_PIXEL / patch_size)) / STEPS_A_PIXEL
        )
        np.testing.assert_array_equal(first + np.float32(index) * steps, exact)
    assert to_step_grid(np.zeros((1, 2)), patch_size).min() > 0


def test_a_centre_is_limited_to_the_frame() -> None:
    limited = limit_centre(np.array([[-5.0, 30.0], [700, 400]]), np.array([[640.0, 360.0]] * 2))
    np.testing.assert_allclose(limited, [[0, 30], [639, 359]])


def test_a_box_is_a_plain_tuple_for_numpy_json_and_opencv() -> None:
    box = Box(10.4, 20.6, 30.5, 40.0)
    np.testing.assert_array_equal(np.asarray(box), [10.4, 20.6, 30.5, 40.0])
    assert json.loads(json.dumps(box)) == [10.4, 20.6, 30.5, 40.0]
    assert box.xyxy == pytest.approx((10.4, 20.6, 40.9, 60.6))
    frame = np.zeros((80, 80, 3), np.uint8)
    cv2.rectangle(frame, box.rounded(), (255, 255, 255))
    assert frame[21, 10].all()
    assert frame[60, 40].all()
    assert not frame[20, 10].any()


def test_the_overlap_accepts_any_four_numbers_and_never_exceeds_1() -> None:
    assert Box(0, 0, 10, 10).iou((5, 0, 10, 10)) == pytest.approx(1 / 3)
    box = Box(0.1, 0.2, 0.3, 0.7)
    assert box.iou(box) <= 1
    assert box.iou(np.asarray(box)) == pytest.approx(1)
