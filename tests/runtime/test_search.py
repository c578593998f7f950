"""Hidden targets: they are reported, the filter is not updated on the occluder, and they are redetected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet import Tracker
from dcfnet.filter.response import Peak
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracking.frame_validation import follow_resolution
from dcfnet.tracking.geometry import size_limits
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.positions import frame_offsets, ring_offsets
from dcfnet.tracking.search import Detection
from dcfnet.tracking.steps import init, step
from dcfnet.tracking.typical_response import occluded as is_occluded
from dcfnet_evaluation.rendered import noise_texture, paste

from tests.conftest import make_raw_pipeline

HIDDEN = range(20, 35)
OFFSET = 60  # px, horizontal, from the expected position to the one where the target appears again
OCCLUDER = (slice(80, 170), slice(90, 250))


@pytest.fixture
def occluded(rng: np.random.Generator) -> list[tuple[np.ndarray, Box]]:
    """A target that is hidden for some frames and appears again at another position: frames and true boxes."""
    return hide(rng, OFFSET)


def hide(rng: np.random.Generator, offset: int) -> list[tuple[np.ndarray, Box]]:
    """Frames and true boxes of a target that is hidden for some frames and appears again `offset` px to the right."""
    scene, texture, occluder = (
        noise_texture(rng, 240, 400),
        noise_texture(rng, 36, 36, contrast=90),
        noise_texture(rng, 240, 400),
    )
    sequence = []
    for t in range(100):
        box = Box.of((110 + t + (offset if t > HIDDEN[0] else 0), 125), (36, 36))
        frame = scene.copy()
        paste(frame, texture, np.ones((36, 36), np.float32), box)
        if t in HIDDEN:
            frame[OCCLUDER] = occluder[OCCLUDER]
        sequence.append((frame, box))
    return sequence


def track(occluded: list[tuple[np.ndarray, Box]], **config: Any) -> list[Result]:
    tracker = Tracker(config=config, device="cpu")
    tracker.init(*occluded[0])
    return [tracker.update(frame) for frame, _ in occluded[1:]]


def test_a_target_that_appears_at_another_position_is_redetected(occluded: list[tuple[np.ndarray, Box]]) -> None:
    results = track(occluded)
    hidden = [results[t - 1] for t in HIDDEN]
    assert {result.status for result in hidden[1:]} <= {Status.LOST, Status.UNCERTAIN}
    last, truth = results[-1], occluded[-1][1]
    assert last.status is Status.TRACKED
    assert last.box.iou(truth) > 0.8


def test_a_target_without_redetection_is_reported_as_lost(occluded: list[tuple[np.ndarray, Box]]) -> None:
    results = track(occluded, redetection_rings=0)
    assert {result.status for result in results[HIDDEN[1] :]} <= {Status.LOST, Status.UNCERTAIN}


def test_the_filter_is_not_updated_on_an_occluder(frame: np.ndarray, rng: np.random.Generator) -> None:
    """Another texture has a peak above min_psr = 0, but far below the typical response of the target."""
    pipeline = make_raw_pipeline(min_psr=0.0, min_likeness=0.2)
    state = init(pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    for _ in range(3):
        state, _ = step(pipeline, state, [frame])
    after, (result,) = step(pipeline, state, [noise_texture(rng, 240, 320)])
    assert (result.status, result.reason) == (Status.LOST, Reason.UNLIKE)
    assert np.array_equal(after.filters.arrays.numerator, state.filters.arrays.numerator)
    np.testing.assert_array_equal(after.typical, state.typical)
    np.testing.assert_array_equal(after.centre, state.centre)
    _, (found,) = step(pipeline, after, [frame])
    assert found.status is Status.TRACKED


def test_an_occluded_target_is_uncertain_then_lost_and_not_updated(frame: np.ndarray, rng: np.random.Generator) -> None:
    pipeline = make_raw_pipeline(min_psr=0.0, min_likeness=0.0, min_strength=0.2, lost_after=2)
    state = init(pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    for _ in range(3):
        state, (seen,) = step(pipeline, state, [frame])
    assert seen.reason is Reason.FOUND
    typical, numerator = state.typical, state.filters.arrays.numerator
    results = []
    for _ in range(4):
        state, (result,) = step(pipeline, state, [noise_texture(rng, 240, 320)])
        results.append(result)
    assert {result.reason for result in results} == {Reason.OCCLUDED}
    assert [result.status for result in results] == [Status.UNCERTAIN] * 2 + [Status.LOST] * 2
    np.testing.assert_array_equal(state.typical, typical)
    assert np.array_equal(state.filters.arrays.numerator, numerator)


def test_an_occlusion_ends_at_a_higher_strength_than_it_starts(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    """Between both thresholds, a visible target stays visible, and an occluded one stays occluded."""
    pipeline, one = make_raw_pipeline(min_strength=0.1), np.ones(1)
    state = init(raw_pipeline, [frame], [Box(100, 80, 50, 30)], [0]).replace(typical=np.ones((1, 3)))
    for strength, frames, expected in [(0.09, 0, True), (0.12, 0, False), (0.12, 3, True), (0.16, 3, False)]:
        peak = Peak(np.zeros((1, 2)), one, one, one, strength * one)
        detection = Detection(peak, state.centre, state.size, one, np.zeros(1, np.bool_))
        assert is_occluded(pipeline, state.replace(occluded_frames=np.array([frames])), detection)[0] == expected


@pytest.mark.parametrize(("patches", "is_found"), [(1, False), (6, True)])
def test_a_target_that_appears_far_away_is_found_with_patches_in_the_whole_frame(
    rng: np.random.Generator, patches: int, is_found: bool
) -> None:
    settings = {"min_strength": 0.2, "redetection_rings": 1, "redetection_patches": patches}
    frames, results = hide(rng, 150), []
    tracker = Tracker("dcfnet", "cpu", settings)
    tracker.init(*frames[0])
    results = [tracker.update(frame) for frame, _ in frames[1:75]]
    assert (results[-1].box.iou(frames[74][1]) > 0.8) is is_found
    assert [result.reason for result in results].count(Reason.REDETECTED) == is_found


def test_redetection_of_one_target_does_not_change_the_others(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    boxes = [Box(60, 60, 40, 40), Box(200, 100, 30, 50)]
    both = init(raw_pipeline, [frame, frame], boxes, [0, 1])
    alone = init(raw_pipeline, [frame], boxes[1:], [0])
    other = np.ascontiguousarray(frame[::-1, ::-1])
    for t in range(5):
        both, (_, second) = step(raw_pipeline, both, [other if t else frame, np.roll(frame, t, axis=1)])
        alone, (single,) = step(raw_pipeline, alone, [np.roll(frame, t, axis=1)])
        assert tuple(second.box) == pytest.approx(tuple(single.box), abs=1e-3)
    assert both.frames_since_confident[0] > 0
    assert both.frames_since_confident[1] == 0


def test_the_last_confident_position_is_scaled_with_the_resolution(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    state = init(raw_pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    ratio = (0.2, 5.0)
    half, _ = follow_resolution(state, {0: frame[::2, ::2]}, ratio)
    eighth, _ = follow_resolution(state, {0: frame[::8, ::8]}, ratio)
    np.testing.assert_array_equal(eighth.size_limits, size_limits(eighth.initial_size, eighth.frame_size, ratio))
    assert eighth.size_limits[0, 0] > half.size_limits[0, 0]  # the minimum side limits how far it may shrink
    np.testing.assert_allclose(half.confident_size, state.confident_size / 2)
    np.testing.assert_allclose(half.confident_centre, half.centre)


@pytest.mark.parametrize("rings", [0, 1, 2, 5])
def test_redetection_places_are_on_rings_and_near_places_come_first(rings: int) -> None:
    places = ring_offsets(rings)
    assert len(np.unique(places.round(6), axis=0)) == len(places) == (2 * rings + 1) ** 2
    assert (np.abs(places).max(axis=1) <= rings + 1e-9).all()
    assert (np.diff(np.abs(places).max(axis=1).round(6)) >= 0).all()
    np.testing.assert_allclose(places.sum(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("border", [(0, 0, 0, 0), (3, 0, 1, 5), (-1, 2, 2, -1)])
def test_redetection_places_in_the_frame_cover_it_and_near_places_come_first(border: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = (max(steps, 0) for steps in border)
    places = frame_offsets(*border)
    assert len(np.unique(places, axis=0)) == len(places) == (left + right + 1) * (top + bottom + 1)
    assert places[0].tolist() == [0, 0]
    assert (np.diff(np.abs(places).max(axis=1)) >= 0).all()
    assert places.min(axis=0).tolist() == [-left, -top]
    assert places.max(axis=0).tolist() == [right, bottom]
