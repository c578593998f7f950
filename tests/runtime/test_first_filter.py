"""Doubtful targets: the filter has learnt something else, and the filter of the first frame finds the target again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import MultiTracker, Tracker
from dcfnet.io.frame import Frame
from dcfnet.result import Box, Correction, Reason, Result, Status
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection import searches
from dcfnet.tracking.redetection.first_filter import FOUND_FRAMES
from dcfnet.tracking.search import PendingDetection, search
from dcfnet.tracking.state import TrackState
from dcfnet_evaluation.rendered import Image

from tests.runtime.scenes import SIDE, box_at, render_scenes, render_target, with_target

START, STOP, ELSEWHERE = (20, 120), (160, 155), (30, 30)  # left and top of the target
CHANGES, CHANGED = 10, 50  # frames: between them the target turns into something else
RETURNS = 80  # frame in which the target is at ELSEWHERE, while something else is still at STOP
DOUBTFUL: dict[str, Any] = {"lost_confidence": 0.8, "min_confidence": 0.8}  # of something else


@pytest.fixture(scope="module")
def scene() -> Image:
    return render_scenes(1)[0]


@pytest.fixture(scope="module")
def clip(scene: Image) -> list[Frame]:
    """A target that slowly turns into something else, so that the filter learns this; then it is seen elsewhere."""
    target, other = render_target(9), np.full((SIDE, SIDE, 3), (40, 200, 60), np.uint8)
    cv2.circle(other, (SIDE // 2, SIDE // 2), 14, (200, 40, 220), -1)
    frames: list[Frame] = []
    for t in range(RETURNS + 30):
        share = float(np.clip((t - CHANGES) / (CHANGED - CHANGES), 0, 1))
        mixed = cv2.addWeighted(target, 1 - share, other, share, 0).astype(np.uint8)
        frame = with_target(scene, mixed, place(t))
        frames.append(with_target(frame, target, ELSEWHERE) if t >= RETURNS else frame)
    return frames


def place(t: int) -> tuple[int, int]:
    """Left and top of the target, then of something else, in frame t."""
    return min(START[0] + 2 * t, STOP[0]), min(START[1] + t // 2, STOP[1])


def opened(clip: list[Frame], **constants: Any) -> Tracker:
    tracker = Tracker("deep", device="cpu", threads=1, config=DOUBTFUL | constants)
    tracker.init(clip[0], box_at(START))
    return tracker


@pytest.fixture(scope="module")
def followed(clip: list[Frame]) -> tuple[Tracker, list[Result]]:
    """The tracker before the target is seen elsewhere, and its results until then."""
    tracker = opened(clip)
    return tracker, [tracker.update(frame) for frame in clip[1:RETURNS]]


def test_the_target_is_found_although_the_filter_has_learnt_something_else(
    followed: tuple[Tracker, list[Result]], clip: list[Frame]
) -> None:
    tracker, before = copy(followed[0]), followed[1]
    assert before[-1].box.iou(box_at(STOP)) > 0.8  # a clear peak on something else
    assert (before[-1].status, before[-1].reason) == (Status.LOST, Reason.LOW_CONFIDENCE)
    after = [tracker.update(frame) for frame in clip[RETURNS:]]
    found = [result.reason for result in after].index(Reason.REDETECTED)
    assert found >= FOUND_FRAMES - 1
    assert all(result.status is Status.TRACKED for result in after[found:])
    assert all(result.box.iou(box_at(ELSEWHERE)) > 0.7 for result in after[found:])


def test_the_filter_is_learnt_anew(followed: tuple[Tracker, list[Result]], clip: list[Frame]) -> None:
    """The old filter had learnt something else: its response at the target would stay weak."""
    tracker = copy(followed[0])
    results = [tracker.update(frame) for frame in clip[RETURNS:]]
    found = [result.reason for result in results].index(Reason.REDETECTED)
    assert results[found + 1].peak > 0.8 * followed[1][1].peak
    assert results[found + 1].psr > 0.8 * followed[1][1].psr


def test_something_else_in_one_frame_is_no_target(followed: tuple[Tracker, list[Result]], clip: list[Frame]) -> None:
    """The target is shown in every second frame: it is never found in enough frames in a row."""
    tracker, without = copy(followed[0]), clip[RETURNS - 1]
    for t in range(RETURNS, len(clip)):
        result = tracker.update(clip[t] if t % 2 else without)
        assert result.box.iou(box_at(STOP)) > 0.8


def test_positions_without_time_are_searched_in_later_frames(
    monkeypatch: pytest.MonkeyPatch, followed: tuple[Tracker, list[Result]], clip: list[Frame]
) -> None:
    def positions(frames: int) -> list[tuple[float, ...]]:
        """The searched positions of frames without the target. In each frame the last one is the strongest again."""
        tracker, found = copy(followed[0]), list[tuple[float, ...]]()

        def record(pipeline: Pipeline, there: TrackState, frames: Sequence[Any], regions: Any) -> PendingDetection:
            found.append(tuple(there.centre[0]))
            return search(pipeline, there, frames, regions)

        monkeypatch.setattr(searches, "search", record)
        for _ in range(frames):
            tracker.update(clip[RETURNS - 1])
        return found

    unlimited = positions(2)
    assert len(unlimited) == 2 * 9
    monkeypatch.setattr(searches.SearchClock, "has_time", lambda self: False)
    assert positions(16) == unlimited[:8] + unlimited[9:17]


@pytest.mark.parametrize("constants", [{"redetection_patches": 1}, {"redetection_rings": 0}, {"lost_confidence": 0.0}])
def test_it_can_be_switched_off(clip: list[Frame], constants: dict[str, Any]) -> None:
    tracker = opened(clip, **constants)
    assert [tracker.update(frame) for frame in clip[1:]][-1].box.iou(box_at(STOP)) > 0.8


def test_a_saved_state_continues_the_search(
    followed: tuple[Tracker, list[Result]], clip: list[Frame], tmp_path: Path
) -> None:
    """Saved while there is a candidate, in each frame before the target is found."""
    tracker, again = copy(followed[0]), opened(clip)
    for t in range(RETURNS, len(clip)):
        tracker.save(tmp_path / "state.safetensors")
        again.restore(tmp_path / "state.safetensors")
        expected = tracker.update(clip[t])
        assert again.update(clip[t]) == expected
        if expected.reason is Reason.REDETECTED:
            return
    pytest.fail("the target was not found")


def test_a_change_of_the_frame_size_does_not_end_the_search(
    followed: tuple[Tracker, list[Result]], clip: list[Frame]
) -> None:
    tracker = copy(followed[0])
    results = [tracker.update(cv2.resize(np.asarray(frame), None, fx=2, fy=2)) for frame in clip[RETURNS:]]
    assert Reason.REDETECTED in [result.reason for result in results]
    x, y, w, h = box_at(ELSEWHERE)
    assert results[-1].box.iou(Box(2 * x + 0.5, 2 * y + 0.5, 2 * w, 2 * h)) > 0.7


def corrected(tracker: Tracker, frame: Frame, *boxes: Box) -> tuple[Tracker, Correction]:
    """A copy of the tracker after `update` and `correct`."""
    again = copy(tracker)
    assert again.update(frame).reason is Reason.LOW_CONFIDENCE
    return again, again.correct(frame, boxes)


def test_a_doubtful_target_takes_the_box_of_a_detector_at_which_its_first_filter_finds_it(
    followed: tuple[Tracker, list[Result]], clip: list[Frame]
) -> None:
    """Far away, and although there is a box on what the filter has learnt. The filter is learnt anew."""
    frame, there = clip[RETURNS], box_at(ELSEWHERE)
    for boxes, taken in (([there], 0), ([box_at(STOP), there], 1)):
        tracker, done = corrected(followed[0], frame, *boxes)
        assert done.taken == taken
        assert done.result is not None
        assert done.result.reason is Reason.CORRECTED
        assert done.result.confidence is not None
        assert done.result.confidence > 0.9
        after = [tracker.update(shown) for shown in clip[RETURNS + 1 : RETURNS + 5]]
        assert all(result.status is Status.TRACKED for result in after)
        assert all(result.box.iou(there) > 0.8 for result in after)
        assert after[0].peak > 0.8 * followed[1][1].peak


def test_each_pair_of_a_target_and_a_box_is_searched_once_with_each_filter(
    followed: tuple[Tracker, list[Result]], clip: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of the target, and each box with the present and with the first filter. The correction reuses them."""
    tracker, searched = copy(followed[0]), list[tuple[float, ...]]()
    tracker.update(clip[RETURNS])
    here = tracker.box

    def record(pipeline: Pipeline, there: TrackState, frames: Any, regions: Any) -> PendingDetection:
        searched.extend(tuple(centre) for centre in there.centre)
        return search(pipeline, there, frames, regions)

    monkeypatch.setattr("dcfnet.tracking.light.search", record)
    assert tracker.correct(clip[RETURNS], [box_at(ELSEWHERE), box_at(STOP)]).taken == 0
    assert here is not None
    expected = [here.centre, *[box_at(ELSEWHERE).centre] * 2, *[box_at(STOP).centre] * 2]
    np.testing.assert_allclose(sorted(searched), sorted(expected), atol=0.1)


def test_a_doubtful_target_takes_no_box_of_the_background(
    followed: tuple[Tracker, list[Result]], clip: list[Frame]
) -> None:
    _, done = corrected(followed[0], clip[RETURNS - 1], box_at(ELSEWHERE))
    assert done.taken is None
    assert done.left == (0,)


@pytest.fixture(scope="module")
def with_boxes(clip: list[Frame]) -> tuple[Tracker, list[tuple[Result, Correction]]]:
    """The tracker, which takes a box of what it follows in each frame, until the target is seen elsewhere."""
    tracker = opened(clip)
    for t in range(1, CHANGED):
        tracker.update(clip[t])
    frames = range(CHANGED, RETURNS)
    return tracker, [(tracker.update(clip[t]), tracker.correct(clip[t], box_at(place(t)))) for t in frames]


def test_a_box_of_something_else_is_uncertain(with_boxes: tuple[Tracker, list[tuple[Result, Correction]]]) -> None:
    """There is an object in it, so the target is not lost. Its first filter does not fit, so it is not tracked."""
    assert {result.status for result, _ in with_boxes[1]} == {Status.UNCERTAIN}
    for _, done in with_boxes[1]:
        assert done.result is not None
        assert (done.taken, done.result.status, done.result.reason) == (0, Status.UNCERTAIN, Reason.CORRECTED)
        assert (done.result.confidence or 0.0) < DOUBTFUL["min_confidence"]


def test_a_target_that_takes_the_boxes_of_something_else_takes_its_own_box_as_soon_as_there_is_one(
    with_boxes: tuple[Tracker, list[tuple[Result, Correction]]], clip: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With boxes it is never doubtful. But it is improbable in its box, so its first filter is applied at the boxes."""
    monkeypatch.setattr("dcfnet.tracking.correction.box_search.PROBABLE", DOUBTFUL["min_confidence"])
    tracker, there = copy(with_boxes[0]), box_at(ELSEWHERE)
    tracker.update(clip[RETURNS])
    done = tracker.correct(clip[RETURNS], [box_at(STOP), there])
    assert done.taken == 1
    assert done.result is not None
    assert done.result.status is Status.TRACKED
    assert tracker.update(clip[RETURNS + 1]).box.iou(there) > 0.8


def test_a_corrected_box_is_where_a_search_begins(followed: tuple[Tracker, list[Result]], clip: list[Frame]) -> None:
    wide = Box(ELSEWHERE[0] - 2, ELSEWHERE[1], SIDE + 4, SIDE)
    tracker, done = corrected(followed[0], clip[RETURNS], wide)
    assert done.taken == 0
    state = tracker._state
    assert state is not None
    assert tuple(state.sure_size[0]) == wide.size
    assert state.sure_centre[0] == pytest.approx(wide.centre, abs=0.1)
    assert not state.doubtful_frames.any()
    assert not state.positions_searched.any()


def test_other_targets_keep_their_boxes(clip: list[Frame]) -> None:
    """Each of two targets of a tracker has the boxes and statuses that it has alone."""
    second, there = render_target(11), (250, 20)
    shown = [with_target(frame, second, there) for frame in clip]
    both = MultiTracker("deep", device="cpu", threads=1, config=DOUBTFUL)
    ids = [both.add(shown[0], box) for box in (box_at(START), box_at(there))]
    alone = [opened(shown), opened(shown)]
    alone[1].init(shown[0], box_at(there))
    reasons = set()
    for frame in shown[1:]:
        results = both.update(frame)
        for target, tracker in zip(ids, alone, strict=True):
            expected = tracker.update(frame)
            assert results[target].box.iou(expected.box) > 0.99
            assert results[target].status is expected.status
            reasons.add(expected.reason)
    assert Reason.REDETECTED in reasons
