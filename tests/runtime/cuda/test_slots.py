"""Captured programs on filters in slots: the boxes of uncaptured programs, and constant memory while targets change."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections import Counter
from contextlib import nullcontext
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.native import NativeBackbone
from dcfnet.devices.cuda import graph_capture
from dcfnet.devices.cuda.slot_programs import size_classes
from dcfnet.devices.cuda.slots import SlotFilters
from dcfnet.devices.filters import ArrayFilters
from dcfnet.errors import DeviceError
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Graph, Stream

SMALL = {"patch_size": 48}
TOLERANCE = {"standin": 0.0, "gpu": 1e-3}  # px: on a GPU the order of a sum may depend on the number of targets


def started(clip: Clip, captures: bool = True, **config: Any) -> dcfnet.Tracker:
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config={**SMALL, **config})
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
        {"update_interval": 1, "solver_steps": 3},
        {"scales": 5, "second_pass_distance": 0.0},  # a second search pass in every frame
        {"background_penalty": 0.0},
        {"scales": 1, "min_psr": 100.0},  # always lost, so that the filters are never updated
        {"learning_rate": 0.0},
    ],
)
def test_boxes_equal_those_of_uncaptured_programs(place: str, clip: Clip, config: dict[str, Any]) -> None:
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
    captured, uncaptured = (filters_of(tracker).arrays.by_name() for tracker in trackers)
    for name, array in captured.items():
        found, expected = (trackers[0]._pipeline.backend.to_host(values) for values in (array, uncaptured[name]))
        tolerance = TOLERANCE[place]
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def track(clip: Clip, captures: bool, blank: np.ndarray) -> list[dict[int, dcfnet.Result]]:
    """Results with two cameras: targets come and go, a camera skips a frame, another is blank, all targets jump."""
    tracker, results, ids = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL), [], []
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
        if index == 5:  # in camera 1 everything jumps
            frames[1] = np.roll(clip.frame(index), 9, axis=1)
        if index == 4:
            tracker.remove(ids.pop(0))
            add(index - 1, 4)
            add(index - 1, 5)  # in the slot of the removed target, and in the last slot
        if index == 6:
            add(index - 1, 7)  # needs more slots
        results.append(tracker.update(frames))
    return results


def test_targets_come_and_go_as_in_uncaptured_programs(place: str, clip: Clip) -> None:
    blank = np.zeros((240, 320, 3), np.uint8)
    captured, uncaptured = (track(clip, captures, blank) for captures in (True, False))
    for found, expected in zip(captured, uncaptured, strict=True):
        assert found.keys() == expected.keys()
        for target, result in found.items():
            assert result.reason == expected[target].reason
            difference = np.abs(np.subtract(tuple(result.box), tuple(expected[target].box)))
            assert difference.max() <= TOLERANCE[place]


def test_a_frame_with_an_update_is_two_graph_launches(fake: Any, clip: Clip) -> None:
    tracker = started(clip, update_interval=2, second_pass_distance=100.0)
    for index in range(1, 9):
        tracker.update(clip.frame(index))
    assert len(fake.state.launched) == 8 + 4
    assert graphs_of(fake) == 2


@pytest.mark.parametrize("on_device", [False, True])
def test_nothing_is_allocated_after_the_first_frames(fake: Any, clip: Clip, on_device: bool) -> None:
    """A host frame requests memory from the pool once. A frame on the device requests none."""
    tracker = started(clip, update_interval=1, second_pass_distance=0.0)
    frames = [fake.asarray(clip.frame(index)) if on_device else clip.frame(index) for index in range(12)]
    tracker.update(frames[1])
    tracker.update(frames[2])
    chunks, allocations = len(fake.state.chunks), fake.state.allocations
    pinned = len(fake.state.copies.pinned)
    for index in range(3, 12):
        tracker.update(frames[index])
    assert len(fake.state.chunks) == chunks
    assert len(fake.state.copies.pinned) == pinned
    assert fake.state.allocations - allocations == (0 if on_device else 9)


def test_more_targets_need_a_new_capture_only_if_there_is_no_free_slot(
    fake: Any, clip: Clip, recorded_captures: list[int]
) -> None:
    tracker, frame, counts = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL), clip.frame(0), []
    for _ in range(5):
        tracker.add(frame, clip.box(0))
        tracker.update(clip.frame(1))
        counts.append(len(recorded_captures))
    assert counts == [2, 6, 12, 12, 20]  # for 1, 2, 4 and 8 slots: two for each size class
    for target in range(4):  # one target stays; new targets use the free slots
        tracker.remove(target)
    for _ in range(7):
        tracker.add(frame, clip.box(0))
    tracker.update(clip.frame(1))
    assert len(recorded_captures) == 20
    assert filters_of(tracker).allocation.slots.capacity == 8
    assert sorted(filters_of(tracker).rows.tolist()) == list(range(8))


def test_outgrown_slots_are_freed(fake: Any, clip: Clip) -> None:
    """Otherwise a tracker whose number of targets grows would need twice the memory."""
    tracker, slots = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL), []
    for _ in range(5):
        tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        slots.append(weakref.ref(filters_of(tracker).allocation.slots))
    capacities = [reference().capacity for reference in slots if reference() is not None]
    assert sorted(set(capacities)) == [1, 8]  # the single slot is used to learn new targets


def test_the_host_waits_before_slots_are_freed(fake: Any, clip: Clip) -> None:
    """A copy from their pinned memory may still run, and the next user would overwrite this memory."""
    for outgrown in (True, False):
        tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config={**SMALL, "update_interval": 1})
        for _ in range(2):
            tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        assert fake.state.copies.queued  # the parameters of the filter update
        if outgrown:
            tracker.add(clip.frame(0), clip.box(0))
        else:
            del tracker
            gc.collect()
        assert not fake.state.copies.queued


def test_a_second_init_uses_the_slots_of_the_first(fake: Any, clip: Clip) -> None:
    tracker = started(clip, update_interval=1)
    for index in range(1, 6):
        tracker.init(clip.frame(index - 1), clip.box(index - 1))
        assert tracker.update(clip.frame(index)).box.iou(clip.box(index)) > 0.7
    assert graphs_of(fake) <= 4  # the new target is learned before the old one is released


def test_trackers_of_one_pipeline_are_independent(fake: Any, clip: Clip) -> None:
    first = started(clip, update_interval=1)
    boxes = [tuple(first.update(clip.frame(index)).box) for index in range(1, 6)]
    early, late = (dcfnet.Tracker.of(first._pipeline) for _ in range(2))
    early.init(clip.frame(0), clip.box(0))
    late.init(clip.frame(10), clip.box(10))
    for index, expected in zip(range(1, 6), boxes, strict=True):
        assert tuple(early.update(clip.frame(index)).box) == expected
        assert late.update(clip.frame(10 + index)).box.iou(clip.box(10 + index)) > 0.7


def test_work_that_cannot_be_captured_is_queued_call_by_call_with_one_warning(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the backbone reads its features on the host, which no capture allows."""
    expected = [tuple(started(clip).update(clip.frame(1)).box)]
    real = NativeBackbone.__call__

    def call_and_read(self: NativeBackbone, patches: Any) -> Any:
        features = real(self, patches)
        self._device.to_host(features) if not isinstance(patches, np.ndarray) else None
        return features

    monkeypatch.setattr(NativeBackbone, "__call__", call_and_read)
    monkeypatch.setattr(graph_capture, "_warned", [])
    tracker, launches = started(clip), len(fake.state.launched)
    message = r"cannot be captured as a CUDA graph: cudaErrorStreamCaptureUnsupported.*; it is queued call by call"
    with pytest.warns(RuntimeWarning, match=message):
        assert [tuple(tracker.update(clip.frame(1)).box)] == expected
    assert len(fake.state.launched) == launches
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracker.update(clip.frame(2)).box.iou(clip.box(2)) > 0.7
        assert started(clip).update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


@pytest.mark.parametrize("patches_per_call", [64, 2, 1])
def test_a_backbone_that_cannot_be_captured_is_called_between_graphs(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, patches_per_call: int
) -> None:
    """It is called in every frame, with at most `patches_per_call` patches, and it may wait for the GPU."""
    trackers, calls = [], []
    real = NativeBackbone.__call__

    def call_and_read(self: NativeBackbone, patches: Any) -> Any:
        features = real(self, patches)
        if not isinstance(patches, np.ndarray):
            calls.append(len(self._device.to_host(features)))
        return features

    for captures in (True, False):
        monkeypatch.setattr(NativeBackbone, "capturable", captures)
        monkeypatch.setattr(NativeBackbone, "__call__", real if captures else call_and_read)
        tracker = started(clip, update_interval=2, second_pass_distance=100.0)
        tracker._pipeline.backend.patches_per_call = patches_per_call  # type: ignore[misc]
        trackers.append(tracker)
        tracker.update(clip.frame(1))
    for index in range(2, 6):
        monkeypatch.setattr(NativeBackbone, "__call__", real)
        expected = trackers[0].update(clip.frame(index))
        monkeypatch.setattr(NativeBackbone, "__call__", call_and_read)
        calls.clear()
        fake.state.launched.clear()
        assert trackers[1].update(clip.frame(index)) == expected
        search_calls, updates = -(-3 // patches_per_call), index % 2 == 0
        assert sum(calls) == 3 + updates
        assert len(calls) == search_calls + updates
        assert len(fake.state.launched) == (search_calls + 1) + 2 * updates


def test_work_on_another_stream_waits_for_the_previous_stream(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    real = Stream.synchronize

    def recorded(self: Any) -> None:
        if self._state is fake.state:  # ignores objects of other tests, which may be deleted meanwhile
            waited.append(self.ptr)
        real(self)

    monkeypatch.setattr(Stream, "synchronize", recorded)
    tracker = started(clip)
    tracker.update(clip.frame(1))
    waited.clear()
    tracker.update(clip.frame(2))
    assert waited == [0]  # for the peaks
    with fake.cuda.Stream(non_blocking=True) as other:
        tracker.update(clip.frame(3))
    assert waited == [0, 0, other.ptr]
    tracker.update(clip.frame(4))
    assert waited == [0, 0, other.ptr, other.ptr, 0]


def test_work_that_was_queued_during_a_capture_is_complete_before_the_first_launch(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backbone between two graphs runs on the stream of the capture, and writes to the memory of the first run."""
    events: list[str] = []
    waits, launches, calls = Stream.synchronize, Graph.launch, NativeBackbone.__call__

    def recorded(name: str, real: Any) -> Any:
        def call(self: Any, *arguments: Any) -> Any:
            if getattr(self, "_state", fake.state) is fake.state:  # ignores objects of other tests
                events.append(name)
            return real(self, *arguments)

        return call

    monkeypatch.setattr(NativeBackbone, "capturable", False)
    tracker = started(clip)
    monkeypatch.setattr(Stream, "synchronize", recorded("wait", waits))
    monkeypatch.setattr(Graph, "launch", recorded("launch", launches))
    monkeypatch.setattr(NativeBackbone, "__call__", recorded("call", calls))
    tracker.update(clip.frame(1))
    prepared = ["wait", "call", "wait", "call", "wait"]  # earlier work; rehearsal; capture
    with_constants = ["wait", "call", "wait", *prepared[2:]]
    assert events == [*with_constants, *prepared, "launch", "call", "launch", "wait"]


def test_slots_that_are_not_updated_keep_their_values(host_kernels: HostKernels, rng: np.random.Generator) -> None:
    new, stored = (rng.normal(size=(count, 7)).astype(np.float32) for count in (3, 5))
    new[1] = np.nan  # of a place without a target
    slots, before = np.array([5, 0, 2], np.int32), stored.copy()  # from 1 on; 0: none
    host_kernels.launch("store_slots", 1, 32, (new, stored, slots, np.int32(3), np.int32(7)))
    np.testing.assert_array_equal(stored, [before[0], new[2], *before[2:4], new[0]])
    taken = np.zeros((3, 7), np.float32)
    host_kernels.launch("take_slots", 1, 32, (stored, taken, slots, np.int32(3), np.int32(7)))
    np.testing.assert_array_equal(taken, [new[0], stored[0], new[2]])


@pytest.mark.parametrize(
    ("capacity", "sizes"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_there_are_programs_for_each_size_class(capacity: int, sizes: list[int]) -> None:
    assert size_classes(capacity) == sizes


def test_free_slots_cost_nothing(fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for eight targets, one target has as many patches, spectra and filters to compute as alone."""
    launches: dict[int, Counter[str]] = {}
    real = HostKernels.launch
    for capacity in (1, 8):
        tracker = dcfnet.MultiTracker(
            "dcfnet", device="cuda", config={**SMALL, "update_interval": 1}, capacity=capacity
        )
        for _ in range(3):
            tracker.remove(tracker.add(clip.frame(0), clip.box(0)))
        tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        blocks = launches[capacity] = Counter[str]()

        def launch(self: Any, name: str, count: int, *rest: Any, blocks: Counter[str] = blocks) -> None:
            blocks[name] += count
            real(self, name, count, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(HostKernels, "launch", launch)
            tracker.update(clip.frame(2))
    assert launches[8].pop("take_slots") > 0
    assert launches[8] == launches[1]


def test_the_second_pass_and_the_update_compute_only_their_targets(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four targets in two cameras, one camera jumps, so its target has a second pass; two targets learn."""
    tracker, counts = dcfnet.MultiTracker("dcfnet", device="cuda", config={**SMALL, "update_interval": 2}), list[int]()
    x, y, w, h = clip.box(0)
    for number in range(4):
        if number == 2:
            tracker.update({0: clip.frame(0), 1: clip.frame(0)})  # from here on they count different frames
        tracker.add(clip.frame(0), Box(x + number, y, w, h), source=int(number == 3))
    tracker.update({0: clip.frame(0), 1: clip.frame(0)})
    real = HostKernels.launch

    def launch(self: Any, name: str, blocks: int, threads: int, arguments: Any, *rest: Any) -> None:
        if name == "crop_half":
            counts.append(int(arguments[2]))  # patches
        real(self, name, blocks, threads, arguments, *rest)

    monkeypatch.setattr(HostKernels, "launch", launch)
    tracker.update({0: clip.frame(1), 1: np.roll(clip.frame(1), 22, axis=1)})
    assert counts == [12, 3, 2]


def test_nothing_is_captured_after_a_warm_up(fake: Any, clip: Clip, recorded_captures: list[int]) -> None:
    single, many = (kind("dcfnet", device="cuda", config=SMALL) for kind in (dcfnet.Tracker, dcfnet.MultiTracker))
    single.warm_up()
    many.warm_up()
    assert len(recorded_captures) == 4
    single.init(clip.frame(0), clip.box(0))
    many.add(clip.frame(0), clip.box(0))
    for index in range(1, 4):
        single.update(clip.frame(index))
        many.update(fake.asarray(clip.frame(index)))
    assert len(recorded_captures) == 4


def test_slots_for_the_requested_capacity_are_allocated_at_once(
    fake: Any, clip: Clip, recorded_captures: list[int]
) -> None:
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL, capacity=5)
    tracker.warm_up()
    for _ in range(5):
        tracker.add(clip.frame(0), clip.box(0))
        tracker.update(clip.frame(1))
        assert filters_of(tracker).allocation.slots.capacity == 5
    assert len(recorded_captures) == 8  # for 1, 2, 4 and 5 targets


def test_a_queued_update_runs_on_the_gpu_and_stream_of_the_caller(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so even if another stream and another GPU are current when it starts."""
    tracker, start, streams = started(clip), threading.Event(), []
    expected = tuple(started(clip).update(clip.frame(1)).box)
    tracker.warm_up()
    real = Graph.launch
    monkeypatch.setattr(Graph, "launch", lambda self: streams.append(fake.state.stream) or real(self))
    tracker._pipeline.queue.submit(nullcontext(), lambda: start.wait(60))
    with fake.cuda.Stream(non_blocking=True) as stream:
        future = tracker.update_async(clip.frame(1))
    fake.state.device = 1
    start.set()
    assert tuple(future.result(60).box) == expected
    assert set(streams) == {stream.ptr}
    with pytest.raises(DeviceError, match="created on GPU 0, but GPU 1 is current now; make GPU 0 current"):
        tracker.update_async(clip.frame(2)).result(60)


def test_queued_updates_on_another_stream_have_the_same_boxes(place: str, clip: Clip) -> None:
    """With a warm-up and captures, against a tracker without both."""
    import cupy

    expected, tracker = started(clip, captures=False), dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    with cupy.cuda.Stream(non_blocking=True):
        tracker.warm_up()
        tracker.init(clip.frame(0), clip.box(0))
        futures = [tracker.update_async(clip.frame(index)) for index in range(1, 8)]
        found = [tuple(future.result(60).box) for future in futures]
    boxes = [tuple(expected.update(clip.frame(index)).box) for index in range(1, 8)]
    np.testing.assert_allclose(found, boxes, rtol=0, atol=TOLERANCE[place])
