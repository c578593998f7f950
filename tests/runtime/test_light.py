"""The light changes from one frame to the next: the tracker keeps the target, and its filter sees the usual light."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import Box, MultiTracker, Result, Status, Tracker
from dcfnet.model.file import SHIPPED
from dcfnet.tracking import light
from dcfnet.tracking.decision_rules import LIGHT_LIMIT, LIGHT_STEP
from dcfnet.tracking.light import matching_light
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init
from dcfnet_evaluation.rendered import Clip

CHANGE = 14  # the first frame in another light


def lit(frame: np.ndarray, factor: float) -> np.ndarray:
    """The frame with its levels multiplied, as a camera with another exposure sees it."""
    return np.asarray(cv2.convertScaleAbs(frame, alpha=factor))


def track(tracker: Tracker, clip: Clip, factors: dict[int, float], last: int = 30) -> list[tuple[Result, Box]]:
    """Results and true boxes of the frames 1 .. last - 1. factors: {first frame: light from there on}."""
    tracker.init(clip.frame(0), clip.box(0))
    factor, found = 1.0, []
    for t in range(1, last):
        factor = factors.get(t, factor)
        found.append((tracker.update(lit(clip.frame(t), factor)), clip.box(t)))
    return found


def state_of(tracker: Any) -> TrackState:
    state: TrackState = tracker._state
    return state


@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize("factor", [0.1, 0.35, 1.8])
def test_a_target_is_tracked_through_a_change_of_the_light(model: str, factor: float, clip: Clip) -> None:
    found = track(Tracker(model), clip, {CHANGE: factor})[CHANGE - 1 :]
    assert np.mean([result.box.iou(truth) for result, truth in found]) > 0.7
    assert all(result.status is Status.TRACKED for result, _ in found)


def test_without_this_rule_the_target_is_lost(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above would show nothing."""
    monkeypatch.setattr(light, "LEVEL_CHANGE", 1e9)
    found = track(Tracker("dcfnet"), clip, {CHANGE: 0.1})[CHANGE - 1 :]
    assert all(result.status is Status.LOST for result, _ in found)


def test_the_light_follows_when_it_returns(clip: Clip) -> None:
    tracker = Tracker("dcfnet")
    found = track(tracker, clip, {5: 0.2, 12: 1.0, 18: 0.3, 24: 1.0})
    assert all(result.status is Status.TRACKED for result, _ in found)
    assert np.mean([result.box.iou(truth) for result, truth in found]) > 0.7
    assert state_of(tracker).light == pytest.approx(1, abs=0.15)


def test_a_lamp_that_flickers_causes_no_lost_frame(clip: Clip) -> None:
    found = track(Tracker("dcfnet"), clip, {t: 0.65 if t % 2 else 1.0 for t in range(CHANGE, 30)})
    assert all(result.status is not Status.LOST for result, _ in found)
    assert np.mean([result.box.iou(truth) for result, truth in found]) > 0.7


def test_a_drop_in_the_second_frame_is_followed(clip: Clip) -> None:
    tracker = Tracker()
    found = track(tracker, clip, {1: 0.25})
    assert np.mean([result.box.iou(truth) for result, truth in found]) > 0.7
    assert state_of(tracker).light == pytest.approx(4, rel=0.15)


def test_pixels_stay_as_they_are_in_constant_light(clip: Clip) -> None:
    """The factor is exactly 1, so boxes are those of a tracker without this rule."""
    tracker = Tracker()
    track(tracker, clip, {}, clip.length)
    assert state_of(tracker).light.tolist() == [1.0]
    assert state_of(tracker).level[0] > 50


def test_only_the_target_of_the_camera_that_darkens_is_relit(clip: Clip) -> None:
    """The other target has the results of a tracker alone."""
    both, alone = MultiTracker("dcfnet"), Tracker("dcfnet")
    ids = [both.add(clip.frame(0), clip.box(0), source) for source in (0, 1)]
    alone.init(clip.frame(0), clip.box(0))
    for t in range(1, 25):
        results = both.update({0: clip.frame(t), 1: lit(clip.frame(t), 0.2 if t >= CHANGE else 1.0)})
        assert results[ids[0]] == alone.update(clip.frame(t))
        assert results[ids[1]].status is Status.TRACKED
    kept, relit = state_of(both).light.tolist()
    assert kept == 1
    assert relit == pytest.approx(5, rel=0.1)


def test_a_correction_in_the_dark_finds_the_light(clip: Clip) -> None:
    """The light changes in the frame of the detector, and the target has moved."""
    tracker = Tracker("dcfnet")
    track(tracker, clip, {}, 10)
    dark = lit(clip.frame(30), 0.2)
    assert tracker.correct(dark, clip.box(30)).taken == 0
    assert state_of(tracker).light == pytest.approx(5, rel=0.2)
    assert tracker.update(dark).status is Status.TRACKED


def test_factors_are_limited_and_exact(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    """Every product of a factor and a level is exact in float32. An unknown or dark level keeps the present factor."""
    box = Box(100, 90, 40, 40)
    state = init(raw_pipeline, [frame], [box] * 5, [0] * 5)
    state = state.replace(level=np.array([100.0, 100, 100, 0, 100]), light=np.full(5, 1.5))
    levels = np.array([33.0, 1e-3, 99999, 50, 0])
    factors = matching_light(state, levels)
    np.testing.assert_allclose(factors, [100 / 33, LIGHT_LIMIT, 1 / LIGHT_LIMIT, 1.5, 1.5], atol=LIGHT_STEP)
    products = np.arange(256)[:, None] * factors
    assert (products.astype(np.float32) == products).all()
