"""Times of frames: repeated and late frames do not reach the target."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from dcfnet import MultiTracker, Reason, Status, TimestampError, Tracker
from dcfnet_evaluation.rendered import Clip

from tests.conftest import make_raw_pipeline


def started(clip: Clip) -> Tracker:
    """A tracker on raw pixels, after frames 1 and 2 at 10.0 and 10.1 s."""
    tracker = Tracker.of(make_raw_pipeline())
    tracker.init(clip.frame(0), clip.box(0))
    for index in (1, 2):
        tracker.update(clip.frame(index), 10 + 0.1 * (index - 1))
    return tracker


@pytest.mark.parametrize(
    ("timestamp", "reason"), [(10.1, Reason.FROZEN_FRAME), (10.05, Reason.OUT_OF_ORDER), (9.2, Reason.OUT_OF_ORDER)]
)
def test_a_repeated_or_late_frame_changes_nothing(clip: Clip, timestamp: float, reason: Reason) -> None:
    tracker, twin = started(clip), started(clip)
    before = tracker.box
    result = tracker.update(clip.frame(9), timestamp)
    assert (result.status, result.reason, result.box) == (Status.UNCERTAIN, reason, before)
    assert tracker.update(clip.frame(3), 10.2) == twin.update(clip.frame(3), 10.2)


def test_a_new_clock_and_gaps_are_accepted(clip: Clip) -> None:
    tracker, twin = started(clip), started(clip)
    for index, timestamp in [(3, 0.0), (4, 0.1), (5, 90.0)]:
        assert tracker.update(clip.frame(index), timestamp) == twin.update(clip.frame(index))
    assert tracker.update(clip.frame(5), 90.0).reason is Reason.FROZEN_FRAME
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update(clip.frame(1), 90.0).reason is Reason.FOUND  # init forgets the time


def test_a_lost_target_stays_lost(clip: Clip) -> None:
    tracker = started(clip)
    assert tracker.update(None, 10.2).status is Status.LOST
    assert tracker.update(clip.frame(3), 10.2).status is Status.LOST


def test_each_source_has_its_own_clock(clip: Clip) -> None:
    tracker = multi()
    front, rear = (tracker.add(clip.frame(0), clip.box(0), source) for source in (0, 1))
    tracker.update({0: clip.frame(1), 1: clip.frame(1)}, {0: 5.0, 1: 900.0})
    results = tracker.update({0: clip.frame(2), 1: clip.frame(2)}, {0: 5.1, 1: 899.9})
    assert list(results) == [front, rear]
    assert [results[front].reason, results[rear].reason] == [Reason.FOUND, Reason.OUT_OF_ORDER]
    assert tracker.update({1: clip.frame(3)}, 900.1)[rear].reason is Reason.FOUND


def test_a_source_keeps_its_time_while_it_has_a_target(clip: Clip) -> None:
    tracker = multi()
    first, second = (tracker.add(clip.frame(0), clip.box(0)) for _ in range(2))
    tracker.update(clip.frame(1), 5.0)
    tracker.remove(first)
    assert tracker.update(clip.frame(2), 5.0)[second].reason is Reason.FROZEN_FRAME
    tracker.remove(second)
    third = tracker.add(clip.frame(1), clip.box(1))
    assert tracker.update(clip.frame(2), 5.0)[third].reason is Reason.FOUND


def test_update_async_and_copies_know_the_time(clip: Clip) -> None:
    tracker = started(clip)
    twin = copy.copy(tracker)
    assert tracker.update_async(clip.frame(3), 10.1).result().reason is Reason.FROZEN_FRAME
    assert twin.update(clip.frame(3), 10.1).reason is Reason.FROZEN_FRAME
    assert twin.update(clip.frame(3), 10.2).reason is Reason.FOUND
    assert tracker.update(clip.frame(3), 10.15).reason is Reason.FOUND  # the copy has a clock of its own


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), "10.2", True, 1_700_000_000_000_000_000, 1j])
def test_a_time_that_is_no_number_of_seconds_is_refused(clip: Clip, timestamp: Any) -> None:
    tracker, twin = started(clip), started(clip)
    with pytest.raises(TimestampError, match=r"timestamp .* of source 0: must be a finite number of seconds"):
        tracker.update(clip.frame(9), timestamp)
    assert tracker.update(clip.frame(3), np.float32(10.2)) == twin.update(clip.frame(3), 10.2)


def test_a_time_of_a_source_without_a_frame_is_refused(clip: Clip) -> None:
    tracker = multi()
    with pytest.raises(TimestampError, match="has the source 3, but frames has none for it"):
        tracker.update({0: clip.frame(1)}, {0: 1.0, 3: 1.0})


def multi() -> MultiTracker:
    """A MultiTracker on a small model, without targets."""
    return MultiTracker("dcfnet", device="cpu", config={"patch_size": 48})
