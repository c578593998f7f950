"""Uploads of host frames: which pixels are copied, from which memory, and when it may be overwritten."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cuda import uploads
from dcfnet.devices.selection import open_backend
from dcfnet.io.rectangle import Rectangle, pixels_read
from dcfnet_evaluation.rendered import Clip, render_clip

from tests.runtime.cuda.device_arrays import on_device

MEAN = np.array([104, 117, 123], np.float32)
SHAPES = {
    "bgr": (60, 91, 3),
    "bgra": (60, 91, 4),
    "one channel": (60, 91, 1),
    "grey": (60, 91),
    "small": (3, 2, 3),
    "wide": (9, 20_000, 3),  # float32 coordinates are less precise here
}


def crop(backend: Any, frame: Any, centres: np.ndarray, regions: np.ndarray, size: int = 16) -> np.ndarray:
    return backend.to_host(backend.crop([frame], np.zeros(len(centres), int), centres, regions, size, MEAN))


@pytest.mark.parametrize("minimal", [False, True], ids=["default", "no margin and never whole"])
@pytest.mark.parametrize("shape", SHAPES)
def test_patches_equal_those_of_whole_frames(
    place: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, shape: str, minimal: bool
) -> None:
    """Bit for bit, in several calls that each need more pixels, inside the frame, at its border and outside."""
    if minimal:
        monkeypatch.setattr(uploads, "MARGIN", 0)
        monkeypatch.setattr(uploads, "WHOLE", 2)
    backend, (height, width) = open_backend("cuda"), SHAPES[shape][:2]
    for _ in range(30):
        pixels = rng.integers(0, 256, size=SHAPES[shape], dtype=np.uint8)
        host, whole = backend.frame(pixels), backend.frame(on_device(pixels))
        for _ in range(3):
            count = rng.integers(1, 4)
            centres = rng.uniform([-30, -30], [width + 30, height + 30], size=(count, 2))
            regions = rng.uniform(1, 40, size=(count, 2)) * rng.choice([1, 1, 4])
            np.testing.assert_array_equal(crop(backend, host, centres, regions), crop(backend, whole, centres, regions))


def test_only_the_pixels_of_patches_are_copied(place: str, rng: np.random.Generator) -> None:
    backend, pixels = open_backend("cuda"), rng.integers(0, 256, size=(720, 1280, 3), dtype=np.uint8)
    frame, counter = backend.frame(pixels), backend._uploads
    centre, region = np.array([[600.0, 300.0]]), np.array([[160.0, 120.0]])
    assert counter.copied == 0
    crop(backend, frame, centre, region)
    first = counter.copied
    assert 160 * 120 * 3 < first <= (1.25 * 160 + 5) * (1.25 * 120 + 5) * 3
    crop(backend, frame, centre, region * 1.02)  # the largest scale of a pyramid
    crop(backend, frame, centre + 10, region)  # the patch of a filter update
    assert counter.copied == first
    crop(backend, frame, centre + np.array([60, 0]), region)
    assert counter.copied - first <= (60 + 5) * (1.25 * 120 + 5) * 3  # only the missing pixels
    crop(backend, frame, np.array([[100.0, 100], [1200, 700]]), np.full((2, 2), 90.0))
    assert counter.copied == pixels.nbytes
    crop(backend, frame, centre, region * 9)
    assert counter.copied == pixels.nbytes


def test_a_frame_is_copied_whole_if_most_of_it_is_needed(place: str, rng: np.random.Generator) -> None:
    backend, pixels = open_backend("cuda"), rng.integers(0, 256, size=(120, 160, 3), dtype=np.uint8)
    frame = backend.frame(pixels)
    crop(backend, frame, np.array([[80.0, 60]]), np.array([[110.0, 90]]))
    assert backend._uploads.copied == pixels.nbytes


def test_patches_outside_the_frame_need_no_copy(place: str) -> None:
    backend = open_backend("cuda")
    frame = backend.frame(np.zeros((120, 160, 3), np.uint8))
    assert not crop(backend, frame, np.array([[-400.0, 30], [45, 1e30], [np.nan, 30]]), np.full((3, 2), 31.0)).any()
    assert backend._uploads.copied == 0


def test_the_counted_bytes_are_the_copied_bytes(fake: Any) -> None:
    clip = render_clip(length=8, width=640, height=480, occluder=False)
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48})
    tracker._pipeline.backend.captures = False  # captured programs also upload parameters
    tracker.init(clip.frame(0), clip.box(0))
    for index in range(1, 8):
        tracker.update(clip.frame(index))
    copied = tracker._pipeline.backend._uploads.copied
    assert copied == fake.state.copies.bytes
    assert copied < 0.5 * 8 * clip.frame(0).nbytes


def upload_without_waiting(backend: Any, rng: np.random.Generator) -> None:
    """Crops from six frames without a wait for the GPU."""
    for _ in range(6):
        frame = backend.frame(rng.integers(0, 256, size=(60, 90, 3), dtype=np.uint8))
        backend.crop([frame], np.zeros(1, int), np.full((1, 2), 30.0), np.full((1, 2), 20.0), 16, MEAN)


def test_a_staging_buffer_is_not_written_during_a_copy_from_it(fake: Any, rng: np.random.Generator) -> None:
    backend = open_backend("cuda")
    upload_without_waiting(backend, rng)
    assert len(fake.state.copies.queued) == 2  # there are two staging buffers, so the host waits before the third copy


def test_the_standin_finds_a_staging_buffer_that_is_written_too_early(fake: Any, rng: np.random.Generator) -> None:
    backend = open_backend("cuda")
    for buffer in backend._uploads._buffers:
        buffer._copied.synchronize = lambda: None
    upload_without_waiting(backend, rng)
    with pytest.raises(AssertionError, match="pinned memory was written during a copy from it"):
        fake.state.copies.finish()


def test_a_growing_region_needs_few_allocations_of_pinned_memory(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, sizes = open_backend("cuda"), list[int]()
    real = fake.cuda.alloc_pinned_memory
    monkeypatch.setattr(fake.cuda, "alloc_pinned_memory", lambda size: sizes.append(size) or real(size))
    buffer = uploads.StagingBuffer(backend._device)
    for side in range(1, 300):
        part = np.full((side, side), side % 256, np.uint8)
        np.testing.assert_array_equal(buffer.fill(part), part)
    assert len(sizes) <= 18
    assert sizes[-1] < 2 * 299**2


def pinned_like(backend: Any, pixels: np.ndarray) -> np.ndarray:
    return backend._device.pinned(pixels.size).reshape(pixels.shape)


def track(tracker: dcfnet.Tracker, clip: Clip, convert: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
    tracker.init(convert(clip.frame(0)), clip.box(0))
    return [tuple(tracker.update(convert(clip.frame(index))).box) for index in range(1, 10)]


# Every frame has a filter update and a second search pass.
CONFIG = {"patch_size": 48, "update_interval": 1, "second_pass_distance": 0.01}


def test_pinned_frames_need_no_staging_buffer(place: str, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera overwrites its only buffer as soon as a call has returned. Updates upload the missing pixels."""
    monkeypatch.setattr(uploads, "MARGIN", 0)
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=CONFIG)
    expected = track(tracker, clip, lambda frame: frame)
    assert len(tracker._pipeline.backend._uploads._buffers[0]._memory) > 0
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=CONFIG)
    camera_buffer = pinned_like(tracker._pipeline.backend, clip.frame(0))

    def written(frame: np.ndarray) -> np.ndarray:
        camera_buffer[...] = frame
        return camera_buffer

    assert track(tracker, clip, written) == expected
    assert [len(buffer._memory) for buffer in tracker._pipeline.backend._uploads._buffers] == [0, 0]


def test_memory_is_pinned_if_both_its_ends_are(fake: Any) -> None:
    """The rows have a pitch. The second end is the last byte of the last row."""
    device = open_backend("cuda")._device
    memory = np.zeros((4, 1024), np.uint8)
    first, last = memory.ctypes.data, memory[2:3, 99:].ctypes.data
    for pinned in ([first, last], [first], [last], []):
        kinds = dict.fromkeys(pinned, fake.cuda.runtime.memoryTypeHost)
        fake.cuda.runtime.pointerGetAttributes = lambda end, kinds=kinds: SimpleNamespace(
            type=kinds.get(end, 0), devicePointer=end - 64
        )
        assert uploads.pinned_address(device, memory[:3, :100]) == (first - 64 if len(pinned) == 2 else None)


def test_the_standin_finds_a_pinned_frame_that_is_written_too_early(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=CONFIG)
    buffer = pinned_like(tracker._pipeline.backend, clip.frame(0))
    monkeypatch.setattr(uploads.Uploads, "finish", lambda self: None)
    buffer[...] = clip.frame(0)
    for _ in range(3):  # the first two allocate slots, which waits for the device
        tracker.init(buffer, clip.box(0))
    buffer[...] = clip.frame(9)
    with pytest.raises(AssertionError, match="pinned memory was written during a copy from it"):
        fake.state.copies.finish()


def test_the_required_pixels_contain_all_pixels_that_patches_read(rng: np.random.Generator) -> None:
    """All pixels inside the frame that bilinear sampling reads."""
    for _ in range(300):
        centres, regions = rng.uniform(-20, 60, size=(2, 2)), rng.uniform(0.5, 50, size=(2, 2))
        steps, read = regions / 16, np.zeros((32, 40), bool)
        for centre, step in zip(centres, steps, strict=True):
            x, y = (np.floor(centre + (np.arange(16)[:, None] - 7.5) * step)).astype(int).T
            for columns, rows in ((x, y), (x + 1, y + 1)):
                inside = np.ix_(rows[(rows >= 0) & (rows < 32)], columns[(columns >= 0) & (columns < 40)])
                read[inside] = True
        found = np.zeros_like(read)
        found[pixels_read(read.shape, centres, regions).slices] = True
        assert (found | ~read).all()


def test_missing_pixels_are_copied_once(rng: np.random.Generator) -> None:
    for _ in range(300):
        sides = np.sort(rng.integers(0, 9, size=(2, 4)), axis=0)
        copied = Rectangle(*sides[:, :2].T.reshape(-1)[[0, 2, 1, 3]].tolist())
        union = copied.union(Rectangle(*rng.integers(0, 9, size=4).tolist()))
        copies = np.zeros((9, 9), int)
        for part in (copied, *union.difference(copied)):
            copies[part.slices] += 1 if part.area else 0
        expected = np.zeros((9, 9), int)
        expected[union.slices] = 1 if union.area else 0
        np.testing.assert_array_equal(copies, expected)
        assert union.contains(copied)
        assert copied.contains(union) == (copied.area == union.area)
