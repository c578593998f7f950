"""Camera cuts: which frames are one, and that a target is found again in the frame of the cut."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import pytest
from dcfnet import MultiTracker, Tracker
from dcfnet.result import Reason, Status
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection import searches
from dcfnet.tracking.redetection.camera_cuts import CUT_CORRELATION, is_cut, read_views
from dcfnet.tracking.redetection.present_filter import PLACES_AFTER_CUT
from dcfnet.tracking.search import PendingDetection, search
from dcfnet.tracking.state import TrackState
from dcfnet_evaluation.rendered import Image

from tests.conftest import make_raw_pipeline
from tests.runtime.scenes import HEIGHT, SIDE, WIDTH, box_at, render_scenes, render_target, with_target

FIRST, ELSEWHERE = (60, 60), (230, 160)  # left and top of the target, before the cut and after it
CUTS_ON: dict[str, Any] = {"min_strength": 0.12, "redetection_patches": 8}


@pytest.fixture(scope="module")
def scenes() -> list[Image]:
    return render_scenes(2)


@pytest.fixture(scope="module")
def cut_out() -> Image:
    return render_target(9)


@pytest.fixture
def tracker(scenes: list[Image], cut_out: Image) -> Tracker:
    """Has followed a target that moves slowly through the first scene, for 12 frames."""
    tracker = Tracker(device="cpu")
    tracker.init(with_target(scenes[0], cut_out, FIRST), box_at(FIRST))
    for t in range(1, 12):
        result = tracker.update(with_target(scenes[0], cut_out, (FIRST[0] + t, FIRST[1])))
    assert result.status is Status.TRACKED
    return tracker


def test_a_target_is_found_in_the_frame_of_the_cut(tracker: Tracker, scenes: list[Image], cut_out: Image) -> None:
    result = tracker.update(with_target(scenes[1], cut_out, ELSEWHERE))
    assert (result.status, result.reason) == (Status.TRACKED, Reason.REDETECTED)
    assert result.box.iou(box_at(ELSEWHERE)) > 0.7


def test_without_a_cut_it_is_not_searched_everywhere_at_once(
    tracker: Tracker, scenes: list[Image], cut_out: Image
) -> None:
    """The target jumps through the scene: the same frame to any detector of cuts."""
    result = tracker.update(with_target(scenes[0], cut_out, ELSEWHERE))
    assert result.box.iou(box_at(ELSEWHERE)) < 0.1
    assert result.status is not Status.TRACKED


def test_a_target_that_the_next_scene_does_not_show_is_lost(tracker: Tracker, scenes: list[Image]) -> None:
    for _ in range(3):
        assert tracker.update(scenes[1]).status is not Status.TRACKED
    assert tracker.update(scenes[1]).reason is not Reason.REDETECTED


def test_all_positions_are_searched_after_a_cut_and_a_limit_of_time_counts(
    monkeypatch: pytest.MonkeyPatch, tracker: Tracker, scenes: list[Image]
) -> None:
    searched: list[tuple[float, ...]] = []

    def record(pipeline: Pipeline, there: TrackState, frames: Sequence[Any], regions: Any) -> PendingDetection:
        searched.append(tuple(there.centre[0]))
        return search(pipeline, there, frames, regions)

    monkeypatch.setattr(searches, "search", record)
    limited = copy(tracker)
    tracker.update(scenes[1])
    places = np.array(searched)
    assert CUTS_ON["redetection_patches"] < len(places) == len(set(searched)) <= PLACES_AFTER_CUT + 1
    step = 0.4 * 3 * SIDE  # of the positions: up to the borders
    assert places.max(axis=0) == pytest.approx((WIDTH, HEIGHT), abs=step)
    assert places.min(axis=0) == pytest.approx((0, 0), abs=step)
    searched.clear()
    monkeypatch.setattr(searches.SearchClock, "has_time", lambda self: len(searched) < 3)
    limited.update(scenes[1])
    assert len(searched) == 4  # and the place of the best of the three


def test_a_copy_and_a_target_of_another_camera_know_their_own_views(scenes: list[Image], cut_out: Image) -> None:
    multi = MultiTracker(device="cpu")
    first, second = (with_target(scene, cut_out, FIRST) for scene in scenes)
    one, other = multi.add(first, box_at(FIRST), 0), multi.add(second, box_at(FIRST), 1)
    for _ in range(8):
        multi.update({0: first, 1: second})
    twin = copy(multi)
    for tracker in (multi, twin):
        results = tracker.update({0: with_target(scenes[1], cut_out, ELSEWHERE), 1: second})
        assert results[one].reason is Reason.REDETECTED
        assert results[other].reason is Reason.FOUND


def test_which_views_are_of_a_cut(rng: np.random.Generator) -> None:
    views = rng.integers(0, 256, size=(40, 8, 8), dtype=np.uint8)
    others = rng.integers(0, 256, size=(40, 8, 8), dtype=np.uint8)
    assert is_cut(views, others).all()
    assert not is_cut(views, views).any()
    darker = np.rint(views * 0.2 + 3).astype(np.uint8)
    assert not is_cut(views, darker).any()
    for axis, shift in ((1, 1), (1, -1), (2, 1), (2, -1)):  # a pan
        assert not is_cut(views, np.roll(views, shift, axis)).any()
    assert is_cut(views, np.roll(views, 4, 1)).all()


def test_the_correlation_is_that_of_numpy(rng: np.random.Generator) -> None:
    before = rng.integers(0, 256, size=(200, 8, 8), dtype=np.uint8)
    after = np.rint(0.43 * before + 0.57 * rng.integers(0, 256, size=(200, 8, 8))).astype(np.uint8)
    unshifted = np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(before, after, strict=True)])
    assert 0 < is_cut(before, after).sum() < 200
    np.testing.assert_array_equal(is_cut(before, after), unshifted < CUT_CORRELATION)


def test_unknown_and_flat_views_are_of_no_cut(rng: np.random.Generator) -> None:
    view, unknown = rng.integers(1, 256, size=(1, 8, 8), dtype=np.uint8), np.zeros((1, 8, 8), np.uint8)
    noise = rng.integers(100, 105, size=(2, 8, 8), dtype=np.uint8)
    assert not is_cut(unknown, view)[0]
    assert not is_cut(noise[:1], noise[1:])[0]
    assert is_cut(noise[:1], view)[0]


@pytest.mark.parametrize("settings", [CUTS_ON, {**CUTS_ON, "min_strength": 0.0}, {**CUTS_ON, "redetection_rings": 0}])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_views_are_the_mean_levels_of_cells(
    rng: np.random.Generator, settings: dict[str, Any], channels: tuple[int, ...]
) -> None:
    """Of each camera, in the order of the targets; not read for settings that do not search after cuts."""
    pipeline = make_raw_pipeline(**settings)
    levels = rng.integers(0, 256, size=(2, 8, 8), dtype=np.uint8)
    frames = [
        np.kron(level, np.ones(sides, np.uint8)) for level, sides in zip(levels, ((32, 40), (8, 12)), strict=True)
    ]
    coloured = [
        np.broadcast_to(f.reshape(*f.shape, *[1] * len(channels)), (*f.shape, *channels)).copy() for f in frames
    ]
    for frame in coloured:
        frame[..., 3:] = 255 if channels == (4,) else frame[..., 3:]  # alpha does not count
    views = read_views(pipeline, coloured, np.array([1, 0, 1]))
    np.testing.assert_array_equal(views, levels[[1, 0, 1]] if settings is CUTS_ON else np.zeros((3, 8, 8)))


def test_a_small_frame_has_no_view() -> None:
    assert not read_views(make_raw_pipeline(**CUTS_ON), [np.full((31, 90), 200, np.uint8)], np.zeros(1, int)).any()
