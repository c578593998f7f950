"""Doubtful targets: the filter has learnt something else, and the filter of the first frame finds the target again."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import MultiTracker, Tracker
from dcfnet.io.frame import Frame
from dcfnet.result import Reason, Result, Status
from dcfnet.tracking.redetection.first_filter import FOUND_FRAMES
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
