"""Captured programs: the boxes are those of uncaptured ones, and nothing is allocated on the way."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from contextlib import nullcontext
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import recording
from dcfnet.backbones.native import NativeBackbone
from dcfnet.errors import DeviceError
from dcfnet.filters import ArrayFilters
from dcfnet.geometry import Box
from dcfnet.graphs import SlotFilters
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Graph, Stream

SMALL = {"patch_size": 48}
TOLERANCE = {"standin": 0.0, "gpu": 1e-3}  # px: on a GPU the order of a sum may hang on how many targets there are


def started(clip: Clip, captures: bool = True, **config: Any) -> dcfnet.Tracker:
    tracker = dcfnet.Tracker(device="cuda", config={**SMALL, **config})
    tracker._pipeline.backend.captures = captures
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


def filters_of(tracker: Any) -> Any:
    assert tracker._state is not None
    return tracker._state.filters


def graphs_of(fake: Any) -> int:
    return len(set(map(id, fake.state.launched)))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"learn_every": 1, "solver_steps": 3},
        {"scales": 5, "look_again": 0.0},  # twice in every frame
        {"background_penalty": 0.0},
        {"scales": 1, "min_psr": 100.0},  # lost throughout: nothing is ever learnt
        {"learning_rate": 0.0},
    ],
)
def test_boxes_are_those_of_uncaptured_programs(place: str, clip: Clip, config: dict[str, Any]) -> None:
    trackers = [started(clip, captures, **config) for captures in (True, False)]
    assert isinstance(filters_of(trackers[0]), SlotFilters)
    assert isinstance(filters_of(trackers[1]), ArrayFilters)
    for index in range(1, 10):
        found, expected = (tracker.update(clip.frame(index)) for tracker in trackers)
        assert (found.status, found.reason) == (expected.status, expected.reason)
        for name in ("box", "peak", "psr", "apce"):
            difference = (
                np.subtract(getattr(found, name), getattr(expected, name))
                if name != "box"
                else np.subtract(tuple(found.box), tuple(expected.box))
            )
            assert np.abs(difference).max() <= TOLERANCE[place], name
    learnt = [filters_of(tracker).arrays.each() for tracker in trackers]
    for name, array in learnt[0].items():
        one, other = (trackers[0]._pipeline.backend.to_host(each) for each in (array, learnt[1][name]))
        np.testing.assert_allclose(one, other, rtol=TOLERANCE[place], atol=TOLERANCE[place] * np.abs(other).max())


def follow(clip: Clip, captures: bool, blank: np.ndarray) -> list[dict[int, dcfnet.Result]]:
    """Targets of two cameras that come and go; a camera skips a frame, another goes black; one target leaps."""
    tracker, results, ids = dcfnet.MultiTracker(device="cuda", config=SMALL), [], []
    tracker._pipeline.backend.captures = captures
    x, y, w, h = clip.box(0)

    def add(index: int, number: int) -> None:
        ids.append(tracker.add(clip.frame(index), Box(x + 3 * number, y + number, w, h), source=number % 2))

    for number in range(3):
        add(0, number)
    for index in range(1, 9):
        frames: dict[int, Any] = {0: clip.frame(index), 1: clip.frame(index)}
        if index == 2:
            del frames[1]
        if index == 3:
            frames[0] = blank
        if index == 5:  # as one camera sees it all has leapt
            frames[1] = np.roll(clip.frame(index), 9, axis=1)
        if index == 4:
            tracker.remove(ids.pop(0))
            add(index - 1, 4)
            add(index - 1, 5)  # into the slot of the first, and the last one
        if index == 6:
            add(index - 1, 7)  # beyond the slots that there are
        results.append(tracker.update(frames))
    return results


def test_targets_come_and_go_as_they_do_uncaptured(place: str, clip: Clip) -> None:
    blank = np.zeros((240, 320, 3), np.uint8)
    captured, uncaptured = (follow(clip, captures, blank) for captures in (True, False))
    for found, expected in zip(captured, uncaptured, strict=True):
        assert found.keys() == expected.keys()
        for target, result in found.items():
            assert result.reason == expected[target].reason
            difference = np.abs(np.subtract(tuple(result.box), tuple(expected[target].box)))
            assert difference.max() <= TOLERANCE[place]


def test_a_frame_is_two_launches(fake: Any, clip: Clip) -> None:
    tracker = started(clip, learn_every=2, look_again=100.0)
    for index in range(1, 9):
        tracker.update(clip.frame(index))
    assert len(fake.state.launched) == 8 + 4
    assert graphs_of(fake) == 2


@pytest.mark.parametrize("on_device", [False, True])
def test_nothing_is_allocated_once_all_has_been_done(fake: Any, clip: Clip, on_device: bool) -> None:
    """Of the pool only the frame's memory is asked for, and where the frame lies there what its texture is told by."""
    tracker = started(clip, learn_every=1, look_again=0.0)
    frames = [fake.asarray(clip.frame(index)) if on_device else clip.frame(index) for index in range(12)]
    tracker.update(frames[1])
    tracker.update(frames[2])
    chunks, taken = len(fake.state.chunks), fake.state.taken
    pinned = len(fake.state.copies.pinned)
    for index in range(3, 12):
        tracker.update(frames[index])
    assert len(fake.state.chunks) == chunks
    assert len(fake.state.copies.pinned) == pinned
    assert fake.state.taken - taken == 9


def test_more_targets_are_captured_anew_only_where_there_is_no_slot(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = captures_of(monkeypatch)
    tracker, frame, known = dcfnet.MultiTracker(device="cuda", config=SMALL), clip.frame(0), []
    for _ in range(5):
        tracker.add(frame, clip.box(0))
        tracker.update(clip.frame(1))
        known.append(len(captures))
    assert known == [2, 4, 6, 6, 8]  # for 1, 2, 4 and 8
    for target in range(4):  # one is left, and others come: they find the slots of those that went
        tracker.remove(target)
    for _ in range(7):
        tracker.add(frame, clip.box(0))
    tracker.update(clip.frame(1))
    assert len(captures) == 8
    assert filters_of(tracker).lease.slots.capacity == 8
    assert sorted(filters_of(tracker).rows.tolist()) == list(range(8))


def test_slots_that_were_outgrown_are_let_go(fake: Any, clip: Clip) -> None:
    """Else a tracker that grew would hold twice the memory."""
    tracker, slots = dcfnet.MultiTracker(device="cuda", config=SMALL), []
    for _ in range(5):
        tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        slots.append(weakref.ref(filters_of(tracker).lease.slots))
    capacities = [known().capacity for known in slots if known() is not None]
    assert sorted(set(capacities)) == [1, 8]  # one is what new targets are learnt in


def test_what_is_let_go_is_waited_for(fake: Any, clip: Clip) -> None:
    """Its pinned memory is somebody else's next, and a copy may still run out of it."""
    for outgrown in (True, False):
        tracker = dcfnet.MultiTracker(device="cuda", config={**SMALL, "learn_every": 1})
        for _ in range(2):
            tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        assert fake.state.copies.queued  # the lesson's
        if outgrown:
            tracker.add(clip.frame(0), clip.box(0))
        else:
            del tracker
            gc.collect()
        assert not fake.state.copies.queued


def test_a_new_start_takes_the_slots_of_the_one_before(fake: Any, clip: Clip) -> None:
    tracker = started(clip, learn_every=1)
    for index in range(1, 6):
        tracker.init(clip.frame(index - 1), clip.box(index - 1))
        assert tracker.update(clip.frame(index)).box.iou(clip.box(index)) > 0.7
    assert graphs_of(fake) <= 4  # two at a time: the new one is learnt before the old is let go


def test_trackers_of_one_pipeline_keep_apart(fake: Any, clip: Clip) -> None:
    first = started(clip, learn_every=1)
    alone = [tuple(first.update(clip.frame(index)).box) for index in range(1, 6)]
    one, other = (dcfnet.Tracker.of(first._pipeline) for _ in range(2))
    one.init(clip.frame(0), clip.box(0))
    other.init(clip.frame(10), clip.box(10))
    for index, expected in zip(range(1, 6), alone, strict=True):
        assert tuple(one.update(clip.frame(index)).box) == expected
        assert other.update(clip.frame(10 + index)).box.iou(clip.box(10 + index)) > 0.7


def test_what_cannot_be_captured_is_queued_and_told_once(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backbone that looks at what it has made, as an engine might."""
    expected = [tuple(started(clip).update(clip.frame(1)).box)]
    real = NativeBackbone.__call__

    def looks(self: NativeBackbone, patches: Any) -> Any:
        features = real(self, patches)
        self._device.to_host(features) if not isinstance(patches, np.ndarray) else None
        return features

    monkeypatch.setattr(NativeBackbone, "__call__", looks)
    monkeypatch.setattr(recording, "_warned", [])
    tracker, launches = started(clip), len(fake.state.launched)
    with pytest.warns(
        RuntimeWarning, match=r"cannot be captured as a graph: cudaErrorStreamCaptureUnsupported.*queued in"
    ):
        assert [tuple(tracker.update(clip.frame(1)).box)] == expected
    assert len(fake.state.launched) == launches
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracker.update(clip.frame(2)).box.iou(clip.box(2)) > 0.7
        assert started(clip).update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


@pytest.mark.parametrize("at_once", [64, 2, 1])
def test_a_backbone_that_cannot_be_captured_stands_between_graphs(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """It waits for the GPU, too, and is called with every frame, in as many turns as its patches come in."""
    trackers, calls = [], []
    real = NativeBackbone.__call__

    def looks(self: NativeBackbone, patches: Any) -> Any:
        features = real(self, patches)
        if not isinstance(patches, np.ndarray):
            calls.append(len(self._device.to_host(features)))
        return features

    for captures in (True, False):
        monkeypatch.setattr(NativeBackbone, "capturable", captures)
        monkeypatch.setattr(NativeBackbone, "__call__", real if captures else looks)
        tracker = started(clip, learn_every=2, look_again=100.0)
        tracker._pipeline.backend.patches_at_once = at_once  # type: ignore[misc]
        trackers.append(tracker)
        tracker.update(clip.frame(1))
    for index in range(2, 6):
        monkeypatch.setattr(NativeBackbone, "__call__", real)
        expected = trackers[0].update(clip.frame(index))
        monkeypatch.setattr(NativeBackbone, "__call__", looks)
        calls.clear()
        fake.state.launched.clear()
        assert trackers[1].update(clip.frame(index)) == expected
        turns, lesson = -(-3 // at_once), index % 2 == 0
        assert sum(calls) == 3 + lesson
        assert len(calls) == turns + lesson
        assert len(fake.state.launched) == (turns + 1) + 2 * lesson


def test_another_stream_waits_for_the_one_before(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    real = Stream.synchronize
    monkeypatch.setattr(Stream, "synchronize", lambda self: waited.append(self.ptr) or real(self))
    tracker = started(clip)
    tracker.update(clip.frame(1))
    waited.clear()
    tracker.update(clip.frame(2))
    assert waited == [0]  # for the box
    with fake.cuda.Stream(non_blocking=True) as other:
        tracker.update(clip.frame(3))
    assert waited == [0, 0, other.ptr]
    tracker.update(clip.frame(4))
    assert waited == [0, 0, other.ptr, other.ptr, 0]


def test_what_was_queued_while_it_was_captured_is_done_before_it_is_launched(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backbone between two graphs is called on the capture's stream, and writes where the first run will."""
    happened: list[str] = []
    waits, launches, calls = Stream.synchronize, Graph.launch, NativeBackbone.__call__

    def told(name: str, real: Any) -> Any:
        def call(self: Any, *given: Any) -> Any:
            if getattr(self, "_state", fake.state) is fake.state:  # not what is left of other tests
                happened.append(name)
            return real(self, *given)

        return call

    monkeypatch.setattr(NativeBackbone, "capturable", False)
    tracker = started(clip)
    monkeypatch.setattr(Stream, "synchronize", told("wait", waits))
    monkeypatch.setattr(Graph, "launch", told("launch", launches))
    monkeypatch.setattr(NativeBackbone, "__call__", told("call", calls))
    tracker.update(clip.frame(1))
    prepared = ["wait", "call", "wait", "call", "wait"]  # what was there; rehearsed; captured
    with_constants = ["wait", "call", "wait", *prepared[2:]]
    assert happened == [*with_constants, *prepared, "launch", "call", "launch", "wait"]


def test_what_is_not_wanted_keeps_its_values(host_kernels: HostKernels, rng: np.random.Generator) -> None:
    made, kept = (rng.normal(size=(5, 7)).astype(np.float32) for _ in range(2))
    made[3] = np.nan
    wanted, before = np.array([0, 1, 1, 0, 1], np.int32), kept.copy()
    host_kernels.launch("settle", 2, 32, (made, kept, wanted, np.int32(5), np.int32(7)))
    np.testing.assert_array_equal(kept, np.where(wanted[:, None], made, before))


def captures_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every capture."""
    captures: list[int] = []
    real = Stream.end_capture
    monkeypatch.setattr(Stream, "end_capture", lambda self: captures.append(self.ptr) or real(self))
    return captures


def test_once_warmed_up_nothing_is_captured_or_compiled(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = captures_of(monkeypatch)
    single, many = (kind(device="cuda", config=SMALL) for kind in (dcfnet.Tracker, dcfnet.MultiTracker))
    single.warm_up()
    many.warm_up()
    assert len(captures) == 4
    single.init(clip.frame(0), clip.box(0))
    many.add(clip.frame(0), clip.box(0))
    for index in range(1, 4):
        single.update(clip.frame(index))
        many.update(fake.asarray(clip.frame(index)))
    assert len(captures) == 4


def test_room_that_was_asked_for_is_laid_out_at_once(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = captures_of(monkeypatch)
    tracker = dcfnet.MultiTracker(device="cuda", config=SMALL, capacity=5)
    tracker.warm_up()
    for _ in range(5):
        tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        assert filters_of(tracker).lease.slots.capacity == 5
    assert len(captures) == 2


def test_a_queued_update_runs_where_it_was_given(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stream that was current there, though another is by then, and so is another GPU."""
    tracker, go, streams = started(clip), threading.Event(), []
    expected = tuple(started(clip).update(clip.frame(1)).box)
    real = fake.cuda.runtime.memcpyAsync
    monkeypatch.setattr(fake.cuda.runtime, "memcpyAsync", lambda *given: streams.append(given[-1]) or real(*given))
    tracker._pipeline.turns.queue(nullcontext(), lambda: go.wait(60))
    with fake.cuda.Stream(non_blocking=True) as stream:
        future = tracker.update_async(clip.frame(1))
    fake.state.device = 1
    go.set()
    assert tuple(future.result(60).box) == expected
    assert set(streams) == {stream.ptr}
    with pytest.raises(DeviceError, match="opened on GPU 0, used while GPU 1 is current"):
        tracker.update_async(clip.frame(2)).result(60)


def test_updates_are_queued_on_a_stream_of_ones_own(place: str, clip: Clip) -> None:
    """After a warm-up, captured, against a tracker that does neither."""
    import cupy

    expected, tracker = started(clip, captures=False), dcfnet.Tracker(device="cuda", config=SMALL)
    with cupy.cuda.Stream(non_blocking=True):
        tracker.warm_up()
        tracker.init(clip.frame(0), clip.box(0))
        futures = [tracker.update_async(clip.frame(index)) for index in range(1, 8)]
        found = [tuple(future.result(60).box) for future in futures]
    boxes = [tuple(expected.update(clip.frame(index)).box) for index in range(1, 8)]
    np.testing.assert_allclose(found, boxes, rtol=0, atol=TOLERANCE[place])
