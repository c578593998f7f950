"""Slots return to their pool when they are released, when nothing refers to them, and when a tracker is closed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cuda.filter_slots import FilterSlots
from dcfnet.devices.cuda.graph_capture import CapturedProgram
from dcfnet.devices.cuda.kernels.peaks import PeakReader
from dcfnet.devices.cuda.slots import SlotPool
from dcfnet.devices.filters import ArrayFilters
from dcfnet.errors import DeviceError, NotInitialisedError
from dcfnet_evaluation.rendered import Clip

SMALL = {"patch_size": 48}


@pytest.fixture
def tracker(fake: Any) -> dcfnet.Tracker:
    return dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)


@pytest.fixture
def pool(tracker: dcfnet.Tracker) -> SlotPool:
    """An empty pool for the programs of the tracker."""
    backend: Any = tracker._pipeline.backend
    return SlotPool(backend._device, PeakReader(backend._device), tracker._pipeline)


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    """Without the collector, only objects without reference cycles are freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def filters_for(fake: Any, count: int) -> ArrayFilters:
    """Filters of `count` targets with few values."""
    complex_part, real_part = (fake.zeros((count, 2), dtype) for dtype in (np.complex64, np.float32))
    return ArrayFilters(complex_part, real_part, complex_part, complex_part, real_part, complex_part, real_part)


def test_release_returns_the_slots_to_the_free_list_at_once(fake: Any, pool: SlotPool) -> None:
    filters = pool.stored(filters_for(fake, 3))
    slots = filters.allocation.slots
    assert (slots.capacity, pool.free) == (4, [])
    filters.release()
    assert pool.free == [slots]
    assert pool.stored(filters_for(fake, 4)).allocation.slots is slots


def test_a_second_release_does_nothing(fake: Any, pool: SlotPool) -> None:
    """The slots may have a new user."""
    filters = pool.stored(filters_for(fake, 2))
    filters.release()
    filters.take(np.array([1])).release()
    assert len(pool.free) == 1
    present = pool.stored(filters_for(fake, 2))
    filters.release()
    filters.allocation.release()
    assert pool.free == []
    del filters
    gc.collect()
    assert pool.free == []
    present.release()
    assert len(pool.free) == 1


def test_slots_return_when_no_filters_refer_to_them(fake: Any, pool: SlotPool, no_garbage_collector: None) -> None:
    filters = pool.stored(filters_for(fake, 2))
    slots, part = filters.allocation.slots, filters.take(np.array([1]))
    del filters
    assert pool.free == []
    del part
    assert pool.free == [slots]


def test_filters_of_the_cpu_stay_valid_after_a_release(clip: Clip) -> None:
    tracker = dcfnet.Tracker("dcfnet", device="cpu", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    assert tracker._state is not None
    tracker._state.filters.release()
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_closed_pool_frees_its_slots(fake: Any, pool: SlotPool, no_garbage_collector: None) -> None:
    """Free slots are freed at once, slots in use when they are released."""
    used, unused = (pool.stored(filters_for(fake, 2)) for _ in range(2))
    slots = [weakref.ref(filters.allocation.slots) for filters in (used, unused)]
    unused.release()
    del unused
    assert slots[1]() is not None
    pool.close()
    assert slots[1]() is None
    used.release()
    assert pool.free == []
    del used
    assert slots[0]() is None


def test_another_pipeline_closes_the_pool_of_the_first(
    tracker: dcfnet.Tracker, clip: Clip, no_garbage_collector: None
) -> None:
    """Targets of the first pipeline keep their slots until their tracker is closed."""
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    slots: Any = weakref.ref(slots_of(tracker))
    other = dcfnet.Tracker.of(replace(tracker._pipeline))
    other.init(clip.frame(0), clip.box(0))
    assert tracker.update(clip.frame(2)).box.iou(clip.box(2)) > 0.7
    assert slots() is not None
    tracker.close()
    assert slots() is None
    assert other.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def slots_of(tracker: Any) -> FilterSlots:
    assert tracker._state is not None
    slots: FilterSlots = tracker._state.filters.allocation.slots
    return slots


def test_a_closed_tracker_returns_its_device_memory(
    fake: Any, tracker: dcfnet.Tracker, clip: Clip, recorded_captures: list[int]
) -> None:
    """A later `init` uses the same slots, without a capture and without new memory."""
    tracker.warm_up()
    tracker.init(clip.frame(0), clip.box(0))
    expected = [tuple(tracker.update(clip.frame(index)).box) for index in (1, 2)]
    pool, slots = tracker._pipeline.backend._slots, slots_of(tracker)  # type: ignore[attr-defined]
    tracker.close()
    assert pool.free == [slots]
    with pytest.raises(NotInitialisedError, match=r"call init\(frame, box\)"):
        tracker.update(clip.frame(1))
    with pytest.raises(NotInitialisedError):
        tracker.update_async(clip.frame(1)).result(60)
    tracker.close()
    assert pool.free == [slots]
    recorded_captures.clear()
    chunks = len(fake.state.chunks)
    tracker.init(clip.frame(0), clip.box(0))
    assert slots_of(tracker) is slots
    assert [tuple(tracker.update(clip.frame(index)).box) for index in (1, 2)] == expected
    assert (recorded_captures, len(fake.state.chunks)) == ([], chunks)


@pytest.mark.parametrize("captures", [True, False])
def test_a_closed_tracker_can_start_again(place: str, clip: Clip, captures: bool) -> None:
    tracker, boxes = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL), []
    tracker._pipeline.backend.captures = captures  # type: ignore[attr-defined]
    for _ in range(2):
        tracker.init(clip.frame(0), clip.box(0))
        boxes.append([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 5)])
        tracker.close()
    np.testing.assert_array_equal(*boxes)


def test_a_closed_tracker_without_captures_returns_its_device_memory(
    tracker: dcfnet.Tracker, clip: Clip, no_garbage_collector: None
) -> None:
    tracker._pipeline.backend.captures = False  # type: ignore[attr-defined]
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    assert tracker._state is not None
    arrays = [weakref.ref(array) for array in tracker._state.filters.arrays.by_name().values()]
    tracker.close()
    assert [array() for array in arrays] == [None] * 7


def test_a_closed_multi_tracker_returns_its_device_memory(fake: Any, clip: Clip, recorded_captures: list[int]) -> None:
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL, capacity=2)
    ids = [tracker.add(clip.frame(0), clip.box(0)) for _ in range(2)]
    tracker.update(clip.frame(1))
    future, slots = tracker.update_async(clip.frame(2)), slots_of(tracker)
    tracker.close()
    assert set(future.result(0)) == set(ids)  # `close` waits until the queue is empty
    assert slots in tracker._pipeline.backend._slots.free  # type: ignore[attr-defined]
    assert len(tracker) == 0
    assert tracker.update(clip.frame(1)) == {}
    recorded_captures.clear()
    added = tracker.add(clip.frame(0), clip.box(0))
    assert added not in ids
    assert tracker.update(clip.frame(1))[added].box.iou(clip.box(1)) > 0.7
    assert slots_of(tracker) is slots
    assert recorded_captures == []


@pytest.mark.parametrize("targets", [1, 2])
def test_targets_keep_their_slots_if_they_cannot_move_to_more(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, targets: int
) -> None:
    """The memory ends when the filters of the new target are read, after the others were copied to the new slots."""
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL)
    for _ in range(targets):
        tracker.add(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    slots, real, reads = slots_of(tracker), FilterSlots.read, list[int]()

    def read(self: FilterSlots, rows: Any) -> ArrayFilters:
        reads.append(len(rows))
        if len(reads) == 2:
            raise DeviceError("the GPU has no memory left")
        return real(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(FilterSlots, "read", read)
        with pytest.raises(DeviceError, match="no memory left"):
            tracker.add(clip.frame(1), clip.box(1))
    assert reads == [targets, 1]
    assert slots_of(tracker) is slots
    assert slots not in tracker._pipeline.backend._slots.free  # type: ignore[attr-defined]
    assert len(tracker.update(clip.frame(2))) == targets
    tracker.add(clip.frame(2), clip.box(2))
    found = tracker.update(clip.frame(3))
    assert len(found) == targets + 1
    assert min(result.box.iou(clip.box(3)) for result in found.values()) > 0.7


@pytest.mark.parametrize("bytes_left", [0, 200_000])
def test_a_lack_of_memory_for_update_does_not_free_the_memory_of_detect(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, bytes_left: int
) -> None:
    """A pool without memory returns its free blocks to the device. The graph of *detect* still uses its own blocks."""
    expected = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    expected.init(clip.frame(0), clip.box(0))
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    real = CapturedProgram.prepare

    def prepare(self: CapturedProgram) -> None:
        real(self)
        fake.state.bytes_left = bytes_left  # the next program also needs blocks of other sizes

    with monkeypatch.context() as patch:
        patch.setattr(CapturedProgram, "prepare", prepare)
        with pytest.raises(DeviceError, match="no memory left"):
            tracker.update(clip.frame(1))
    fake.state.bytes_left = float("inf")
    for index in range(1, 6):
        assert tracker.update(clip.frame(index)) == expected.update(clip.frame(index))
