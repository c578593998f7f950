"""Updates that are queued, trackers that are warmed up, and room for so many targets: on every device."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import Box, CapacityError, MultiTracker, Tracker
from dcfnet.errors import ConfigError, NotInitialisedError
from dcfnet_evaluation.rendered import Clip

SMALL: dict[str, Any] = {"device": "cpu", "config": {"patch_size": 48}}


def started(clip: Clip) -> Tracker:
    tracker = Tracker(**SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


def held_up(tracker: Any) -> threading.Event:
    """Nothing queued from now on is done until this is set."""
    go = threading.Event()
    tracker._pipeline.turns.queue(nullcontext(), lambda: go.wait(60))
    return go


def test_queued_updates_give_what_updates_give(clip: Clip) -> None:
    expected = [started(clip)]
    expected_results = [expected[0].update(clip.frame(index)) for index in range(1, 8)]
    tracker = started(clip)
    go = held_up(tracker)
    futures = [tracker.update_async(clip.frame(index)) for index in range(1, 8)]
    assert not any(future.done() for future in futures)  # it has returned at once
    go.set()
    assert [future.result(60) for future in futures] == expected_results
    assert tracker.update(clip.frame(8)) == expected[0].update(clip.frame(8))


def test_queued_updates_of_many_targets_and_cameras(clip: Clip) -> None:
    one, other = MultiTracker(**SMALL), MultiTracker(**SMALL)
    for tracker in (one, other):
        for source in (0, 3):
            tracker.add(clip.frame(0), clip.box(0), source=source)
    frames = {0: clip.frame(1), 3: clip.frame(2)}
    go = held_up(other)
    future, expected = other.update_async(frames), one.update(frames)
    frames.clear()  # what was given counts
    go.set()
    assert future.result(60) == expected
    assert other.update_async(clip.frame(2)).result(60) == one.update(clip.frame(2))


def test_errors_come_out_of_the_result(clip: Clip) -> None:
    tracker = Tracker(**SMALL)
    future = tracker.update_async(clip.frame(0))
    with pytest.raises(NotInitialisedError, match="update before init"):
        future.result(60)
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update_async(None).result(60).reason is dcfnet.Reason.NO_FRAME
    assert tracker.update_async(clip.frame(1)).result(60).box.iou(clip.box(1)) > 0.6


def test_other_calls_wait_for_what_is_queued(clip: Clip) -> None:
    """So that they find, and leave, the state that their place among the calls gives them."""
    tracker = MultiTracker(**SMALL)
    first = tracker.add(clip.frame(0), clip.box(0))
    for call in (
        lambda: tracker.add(clip.frame(0), clip.box(0)),
        lambda: tracker.update(clip.frame(2)),
        lambda: tracker.remove(first),
        lambda: tracker.warm_up(),
    ):
        go = held_up(tracker)
        future, answered = tracker.update_async(clip.frame(1)), threading.Event()
        later = threading.Timer(0.05, go.set)
        later.start()
        call()
        answered.set()
        assert future.done()
        later.join()
    single = started(clip)
    go = held_up(single)
    future = single.update_async(clip.frame(30))
    threading.Timer(0.05, go.set).start()
    single.init(clip.frame(20), clip.box(20))
    assert future.done()
    assert single.update(clip.frame(21)).box.iou(clip.box(21)) > 0.6


def test_a_callback_may_update(clip: Clip) -> None:
    """It runs on the thread that the queue waits for, and so between two turns of it."""
    tracker, expected, found = started(clip), started(clip), []
    go = held_up(tracker)
    first = tracker.update_async(clip.frame(1))
    first.add_done_callback(lambda _: found.append(tracker.update(clip.frame(2))))
    last = tracker.update_async(clip.frame(3))
    go.set()
    results = [first.result(60), last.result(60)]
    assert [results[0], *found, results[1]] == [expected.update(clip.frame(index)) for index in range(1, 4)]


def test_a_frame_whose_turn_has_not_come_can_be_taken_back(clip: Clip) -> None:
    tracker = started(clip)
    go = held_up(tracker)
    skipped, taken = tracker.update_async(clip.frame(30)), tracker.update_async(clip.frame(1))
    assert skipped.cancel()
    go.set()
    assert taken.result(60) == started(clip).update(clip.frame(1))


def test_trackers_of_one_pipeline_take_turns(clip: Clip) -> None:
    one = started(clip)
    other = Tracker.of(one._pipeline)
    go = held_up(one)
    future = one.update_async(clip.frame(1))
    threading.Timer(0.05, go.set).start()
    other.init(clip.frame(5), clip.box(5))
    assert future.done()
    assert other.update_async(clip.frame(6)).result(60).box.iou(clip.box(6)) > 0.6


def test_there_is_a_thread_only_once_something_is_queued(clip: Clip) -> None:
    tracker = started(clip)
    tracker.update(clip.frame(1))
    assert tracker._pipeline.turns._thread is None
    one = tracker.update_async(clip.frame(2))
    thread = tracker._pipeline.turns._thread
    assert thread is not None
    tracker.update_async(clip.frame(3)).result(60)
    assert one.done()
    assert tracker._pipeline.turns._thread is thread
    assert len(thread._threads) == 1


@pytest.mark.parametrize("kind", [Tracker, MultiTracker])
def test_a_warm_up_leaves_what_is_followed(kind: Any, clip: Clip) -> None:
    trackers = [kind(**SMALL) for _ in range(2)]
    trackers[0].warm_up()
    for tracker in trackers:
        (tracker.init if kind is Tracker else tracker.add)(clip.frame(0), clip.box(0))
    for index in range(1, 4):
        found, expected = (tracker.update(clip.frame(index)) for tracker in trackers)
        assert found == expected
        trackers[0].warm_up()


def test_no_more_targets_than_there_is_room_for(clip: Clip) -> None:
    tracker = MultiTracker(**SMALL, capacity=2)
    first, _ = (tracker.add(clip.frame(0), clip.box(0)) for _ in range(2))
    before = tracker._state
    with pytest.raises(CapacityError, match="more targets than slots: there is room for 2; remove one"):
        tracker.add(clip.frame(0), clip.box(0))
    assert tracker._state is before
    tracker.remove(first)
    tracker.add(clip.frame(0), Box(*clip.box(0)))
    assert len(tracker.update(clip.frame(1))) == 2


@pytest.mark.parametrize("capacity", [0, -1, 2.0, "4", 2**16 + 1])
def test_room_that_cannot_be_is_refused(capacity: Any) -> None:
    with pytest.raises(ConfigError, match=r"capacity=.*: must be a whole number from 1 to 65536"):
        MultiTracker(**SMALL, capacity=capacity)


def test_rows_are_kept_apart_whatever_the_room(clip: Clip) -> None:
    boxes = [Box(clip.box(0).x + 2 * number, *tuple(clip.box(0))[1:]) for number in range(3)]
    results = []
    for capacity in (None, 3, 64):
        tracker = MultiTracker(**SMALL, capacity=capacity)
        for box in boxes:
            tracker.add(clip.frame(0), box)
        results.append([tuple(found.box) for found in tracker.update(clip.frame(1)).values()])
    np.testing.assert_array_equal(results[1:], [results[0]] * 2)
