"""Queued updates, warm-up and capacity."""

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


def started_tracker(clip: Clip) -> Tracker:
    tracker = Tracker(**SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


def block_queue(tracker: Any) -> threading.Event:
    """Blocks the queue of the tracker until the returned event is set."""
    release = threading.Event()
    tracker._pipeline.queue.submit(nullcontext(), lambda: release.wait(60))
    return release


def test_queued_updates_give_the_results_of_direct_updates(clip: Clip) -> None:
    direct = started_tracker(clip)
    expected = [direct.update(clip.frame(index)) for index in range(1, 8)]
    tracker = started_tracker(clip)
    release = block_queue(tracker)
    futures = [tracker.update_async(clip.frame(index)) for index in range(1, 8)]
    assert not any(future.done() for future in futures)  # update_async returned at once
    release.set()
    assert [future.result(60) for future in futures] == expected
    assert tracker.update(clip.frame(8)) == direct.update(clip.frame(8))


def test_queued_updates_accept_many_targets_and_cameras(clip: Clip) -> None:
    one, other = MultiTracker(**SMALL), MultiTracker(**SMALL)
    for tracker in (one, other):
        for source in (0, 3):
            tracker.add(clip.frame(0), clip.box(0), source=source)
    frames = {0: clip.frame(1), 3: clip.frame(2)}
    release = block_queue(other)
    future, expected = other.update_async(frames), one.update(frames)
    frames.clear()  # the queued call keeps its own copy of the mapping
    release.set()
    assert future.result(60) == expected
    assert other.update_async(clip.frame(2)).result(60) == one.update(clip.frame(2))


def test_a_future_raises_the_error_of_its_update(clip: Clip) -> None:
    tracker = Tracker(**SMALL)
    future = tracker.update_async(clip.frame(0))
    with pytest.raises(NotInitialisedError, match="update before init"):
        future.result(60)
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker.update_async(None).result(60).reason is dcfnet.Reason.NO_FRAME
    assert tracker.update_async(clip.frame(1)).result(60).box.iou(clip.box(1)) > 0.6


def test_other_methods_wait_until_the_queue_is_empty(clip: Clip) -> None:
    """Each method sees the state after all calls before it."""
    tracker = MultiTracker(**SMALL)
    first = tracker.add(clip.frame(0), clip.box(0))
    for call in (
        lambda: tracker.add(clip.frame(0), clip.box(0)),
        lambda: tracker.update(clip.frame(2)),
        lambda: tracker.remove(first),
        lambda: tracker.warm_up(),
    ):
        release = block_queue(tracker)
        future = tracker.update_async(clip.frame(1))
        timer = threading.Timer(0.05, release.set)
        timer.start()
        call()
        assert future.done()
        timer.join()
    single = started_tracker(clip)
    release = block_queue(single)
    future = single.update_async(clip.frame(30))
    threading.Timer(0.05, release.set).start()
    single.init(clip.frame(20), clip.box(20))
    assert future.done()
    assert single.update(clip.frame(21)).box.iou(clip.box(21)) > 0.6


def test_a_callback_may_call_update(clip: Clip) -> None:
    """It runs on the worker thread, between two calls of the queue."""
    tracker, reference, results_of_callback = started_tracker(clip), started_tracker(clip), []
    release = block_queue(tracker)
    first = tracker.update_async(clip.frame(1))
    first.add_done_callback(lambda _: results_of_callback.append(tracker.update(clip.frame(2))))
    last = tracker.update_async(clip.frame(3))
    release.set()
    results = [first.result(60), last.result(60)]
    expected = [reference.update(clip.frame(index)) for index in range(1, 4)]
    assert [results[0], *results_of_callback, results[1]] == expected


def test_a_queued_frame_can_be_cancelled(clip: Clip) -> None:
    tracker = started_tracker(clip)
    release = block_queue(tracker)
    cancelled, last = tracker.update_async(clip.frame(30)), tracker.update_async(clip.frame(1))
    assert cancelled.cancel()
    release.set()
    assert last.result(60) == started_tracker(clip).update(clip.frame(1))


def test_trackers_on_one_pipeline_share_its_queue(clip: Clip) -> None:
    one = started_tracker(clip)
    other = Tracker.of(one._pipeline)
    release = block_queue(one)
    future = one.update_async(clip.frame(1))
    threading.Timer(0.05, release.set).start()
    other.init(clip.frame(5), clip.box(5))
    assert future.done()
    assert other.update_async(clip.frame(6)).result(60).box.iou(clip.box(6)) > 0.6


def test_the_worker_thread_starts_with_the_first_queued_call(clip: Clip) -> None:
    tracker = started_tracker(clip)
    tracker.update(clip.frame(1))
    assert tracker._pipeline.queue._executor is None
    one = tracker.update_async(clip.frame(2))
    executor = tracker._pipeline.queue._executor
    assert executor is not None
    tracker.update_async(clip.frame(3)).result(60)
    assert one.done()
    assert tracker._pipeline.queue._executor is executor
    assert len(executor._threads) == 1


@pytest.mark.parametrize("kind", [Tracker, MultiTracker])
def test_a_warm_up_does_not_change_the_targets(kind: Any, clip: Clip) -> None:
    trackers = [kind(**SMALL) for _ in range(2)]
    trackers[0].warm_up()
    for tracker in trackers:
        (tracker.init if kind is Tracker else tracker.add)(clip.frame(0), clip.box(0))
    for index in range(1, 4):
        found, expected = (tracker.update(clip.frame(index)) for tracker in trackers)
        assert found == expected
        trackers[0].warm_up()


def test_a_target_beyond_the_capacity_raises(clip: Clip) -> None:
    tracker = MultiTracker(**SMALL, capacity=2)
    first, _ = (tracker.add(clip.frame(0), clip.box(0)) for _ in range(2))
    before = tracker._state
    with pytest.raises(CapacityError, match="all 2 slots are in use; remove a target"):
        tracker.add(clip.frame(0), clip.box(0))
    assert tracker._state is before
    tracker.remove(first)
    tracker.add(clip.frame(0), Box(*clip.box(0)))
    assert len(tracker.update(clip.frame(1))) == 2


@pytest.mark.parametrize("capacity", [0, -1, 2.0, "4", 2**16 + 1])
def test_an_invalid_capacity_raises(capacity: Any) -> None:
    with pytest.raises(ConfigError, match=r"capacity=.*: must be a whole number from 1 to 65536"):
        MultiTracker(**SMALL, capacity=capacity)


def test_boxes_do_not_depend_on_the_capacity(clip: Clip) -> None:
    boxes = [Box(clip.box(0).x + 2 * number, *tuple(clip.box(0))[1:]) for number in range(3)]
    results = []
    for capacity in (None, 3, 64):
        tracker = MultiTracker(**SMALL, capacity=capacity)
        for box in boxes:
            tracker.add(clip.frame(0), box)
        results.append([tuple(found.box) for found in tracker.update(clip.frame(1)).values()])
    np.testing.assert_array_equal(results[1:], [results[0]] * 2)
