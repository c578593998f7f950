"""A target whose confidence stays low is lost, with the reason low_confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import ConfigError, Tracker
from dcfnet.io.frame import Frame
from dcfnet.result import Reason, Result, Status
from dcfnet.tracking.status import Evidence
from dcfnet_evaluation.street import render_street

ALL, NONE = np.ones(1, np.bool_), np.zeros(1, np.bool_)
GOOD = dict.fromkeys(("clear", "in_view", "similar", "visible", "confident", "probable"), ALL)
GOOD |= dict.fromkeys(("lasting", "doubtful", "redetected", "at_size_limit"), NONE)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, (Status.TRACKED, Reason.FOUND)),
        ({"doubtful": ALL, "probable": NONE}, (Status.LOST, Reason.LOW_CONFIDENCE)),
        ({"doubtful": ALL, "confident": NONE}, (Status.LOST, Reason.LOW_CONFIDENCE)),
        ({"doubtful": ALL, "visible": NONE}, (Status.LOST, Reason.LOW_CONFIDENCE)),
        ({"doubtful": ALL, "visible": NONE, "lasting": ALL}, (Status.LOST, Reason.OCCLUDED)),
        ({"doubtful": ALL, "similar": NONE}, (Status.LOST, Reason.UNLIKE)),
        ({"probable": NONE}, (Status.UNCERTAIN, Reason.LOW_CONFIDENCE)),
    ],
)
def test_the_first_reason_counts(changed: dict[str, Any], expected: tuple[Status, Reason]) -> None:
    assert Evidence(**(GOOD | changed)).statuses() == [expected]


def frames() -> list[Frame]:
    clip = render_street(12)
    return [clip.frame(t) for t in range(clip.length)]


def statuses(tracker: Tracker, shown: list[Frame]) -> list[str]:
    return [str(tracker.update(frame).status) for frame in shown]


def opened(**constants: float) -> Tracker:
    """A tracker on the car of the clip."""
    tracker, clip = Tracker("deep", device="cpu", threads=1, config=constants), render_street(12)
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


def test_a_low_confidence_is_uncertain_first_and_lost_after_some_frames() -> None:
    tracker = opened(min_confidence=1.0, lost_confidence=1.0, lost_after=3)  # no confidence is high enough
    assert statuses(tracker, frames()[1:7]) == ["uncertain"] * 3 + ["lost"] * 3


def test_the_box_of_a_doubtful_target_follows_it() -> None:
    tracker, clip = opened(min_confidence=1.0, lost_confidence=1.0, lost_after=0), render_street(12)
    results: list[Result] = [tracker.update(clip.frame(t)) for t in range(1, 12)]
    assert {result.reason for result in results} == {Reason.LOW_CONFIDENCE}
    assert results[-1].box.iou(clip.box(11)) > 0.75


def test_it_can_be_switched_off() -> None:
    assert statuses(opened(min_confidence=1.0, lost_confidence=0.0, lost_after=0), frames()[1:4]) == ["uncertain"] * 3


def test_one_better_frame_begins_the_count_again() -> None:
    worse, better = [cv2.GaussianBlur(np.asarray(frame), (0, 0), 9) for frame in frames()], frames()[3]
    shown = [*worse[1:3], better, *worse[4:7]]
    first = opened(lost_confidence=0.0)
    low, _, high, *_ = (first.update(frame).confidence or 0.0 for frame in shown)
    tracker = opened(min_confidence=1.0, lost_confidence=(low + high) / 2, lost_after=2)
    assert statuses(tracker, shown) == ["uncertain"] * 5 + ["lost"]


def test_a_box_of_a_detector_begins_the_count_again() -> None:
    tracker, shown = opened(min_confidence=1.0, lost_confidence=1.0, lost_after=2), frames()
    assert statuses(tracker, shown[1:3]) == ["uncertain"] * 2
    tracker.correct(shown[3], render_street(12).box(3))
    assert statuses(tracker, shown[4:7]) == ["uncertain"] * 2 + ["lost"]


def test_a_model_without_a_fit_is_never_doubtful() -> None:
    clip, tracker = render_street(6), Tracker("dcfnet", device="cpu", config={"lost_confidence": 1.0, "lost_after": 0})
    tracker.init(clip.frame(0), clip.box(0))
    assert [str(tracker.update(clip.frame(t)).status) for t in range(1, 6)] == ["tracked"] * 5


def test_the_count_is_part_of_a_saved_state(tmp_path: Path) -> None:
    tracker, shown = opened(min_confidence=1.0, lost_confidence=1.0, lost_after=3), frames()
    statuses(tracker, shown[1:4])
    tracker.save(tmp_path / "state.safetensors")
    again = opened(min_confidence=1.0, lost_confidence=1.0, lost_after=3)
    again.restore(tmp_path / "state.safetensors")
    assert statuses(again, shown[4:6]) == ["lost"] * 2


def test_a_wrong_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lost_confidence=1\.5: must be .* 1"):
        Tracker("deep", device="cpu", config={"lost_confidence": 1.5})
