"""Frames of the host on the way to a GPU: what is copied, from where, and when its memory may be written again."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import uploads
from dcfnet.backend import select
from dcfnet.rectangle import Rectangle, touched
from dcfnet_evaluation.rendered import Clip, render_clip

from tests.runtime.cuda.given import on_device

MEAN = np.array([104, 117, 123], np.float32)
SHAPES = {
    "bgr": (60, 91, 3),
    "bgra": (60, 91, 4),
    "one channel": (60, 91, 1),
    "grey": (60, 91),
    "small": (3, 2, 3),
    "wide": (9, 20_000, 3),  # where float32 holds a coordinate less finely
}


def cut(backend: Any, frame: Any, centres: np.ndarray, regions: np.ndarray, size: int = 16) -> np.ndarray:
    return backend.to_host(backend.crop([frame], np.zeros(len(centres), int), centres, regions, size, MEAN))


@pytest.mark.parametrize("always_less", [False, True], ids=["as it is", "no margin and never whole"])
@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_those_of_whole_frames(
    place: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, shape: str, always_less: bool
) -> None:
    """Bit for bit, in one call and over several, each of which asks for more: inside, over the border and beyond."""
    if always_less:
        monkeypatch.setattr(uploads, "MARGIN", 0)
        monkeypatch.setattr(uploads, "WHOLE", 2)
    backend, (height, width) = select("cuda"), SHAPES[shape][:2]
    for _ in range(30):
        pixels = rng.integers(0, 256, size=SHAPES[shape], dtype=np.uint8)
        host, whole = backend.frame(pixels), backend.frame(on_device(pixels))
        for _ in range(3):
            count = rng.integers(1, 4)
            centres = rng.uniform([-30, -30], [width + 30, height + 30], size=(count, 2))
            regions = rng.uniform(1, 40, size=(count, 2)) * rng.choice([1, 1, 4])
            np.testing.assert_array_equal(cut(backend, host, centres, regions), cut(backend, whole, centres, regions))


def test_only_what_is_looked_at_is_copied(place: str, rng: np.random.Generator) -> None:
    backend, pixels = select("cuda"), rng.integers(0, 256, size=(720, 1280, 3), dtype=np.uint8)
    frame, counted = backend.frame(pixels), backend._uploads
    centre, region = np.array([[600.0, 300.0]]), np.array([[160.0, 120.0]])
    assert counted.copied == 0
    cut(backend, frame, centre, region)
    first = counted.copied
    assert 160 * 120 * 3 < first <= (1.25 * 160 + 5) * (1.25 * 120 + 5) * 3
    cut(backend, frame, centre, region * 1.02)  # the pyramid's largest
    cut(backend, frame, centre + 10, region)  # a lesson, where the target has gone to
    assert counted.copied == first
    cut(backend, frame, centre + np.array([60, 0]), region)
    assert counted.copied - first <= (60 + 5) * (1.25 * 120 + 5) * 3  # what was missing, not the whole again
    cut(backend, frame, np.array([[100.0, 100], [1200, 700]]), np.full((2, 2), 90.0))
    assert counted.copied == pixels.nbytes
    cut(backend, frame, centre, region * 9)
    assert counted.copied == pixels.nbytes


def test_a_frame_that_is_looked_at_most_of_is_copied_whole(place: str, rng: np.random.Generator) -> None:
    backend, pixels = select("cuda"), rng.integers(0, 256, size=(120, 160, 3), dtype=np.uint8)
    frame = backend.frame(pixels)
    cut(backend, frame, np.array([[80.0, 60]]), np.array([[110.0, 90]]))
    assert backend._uploads.copied == pixels.nbytes


def test_what_is_beyond_the_frame_is_not_copied(place: str) -> None:
    backend = select("cuda")
    frame = backend.frame(np.zeros((120, 160, 3), np.uint8))
    assert not cut(backend, frame, np.array([[-400.0, 30], [45, 1e30], [np.nan, 30]]), np.full((3, 2), 31.0)).any()
    assert backend._uploads.copied == 0


def test_every_byte_counted_is_a_byte_copied(fake: Any) -> None:
    clip = render_clip(length=8, width=640, height=480, occluder=False)
    tracker = dcfnet.Tracker(device="cuda", config={"patch_size": 48})
    tracker._pipeline.backend.captures = False  # whose parameters are copied, too
    tracker.init(clip.frame(0), clip.box(0))
    for index in range(1, 8):
        tracker.update(clip.frame(index))
    copied = tracker._pipeline.backend._uploads.copied
    assert copied == fake.state.copies.bytes
    assert copied < 0.5 * 8 * clip.frame(0).nbytes


def rush(backend: Any, rng: np.random.Generator) -> None:
    """Frames as they come, and nobody waits for the GPU."""
    for _ in range(6):
        frame = backend.frame(rng.integers(0, 256, size=(60, 90, 3), dtype=np.uint8))
        backend.crop([frame], np.zeros(1, int), np.full((1, 2), 30.0), np.full((1, 2), 20.0), 16, MEAN)


def test_memory_is_not_written_while_a_copy_runs_from_it(fake: Any, rng: np.random.Generator) -> None:
    backend = select("cuda")
    rush(backend, rng)
    assert len(fake.state.copies.queued) == 2  # one runs, one is queued behind it: the host waits for the third's turn


def test_the_standin_refuses_memory_that_is_written_too_early(fake: Any, rng: np.random.Generator) -> None:
    backend = select("cuda")
    for staging in backend._uploads._turns:
        staging._left.synchronize = lambda: None
    rush(backend, rng)
    with pytest.raises(AssertionError, match="pinned memory was written while a copy from it ran"):
        fake.state.copies.finish()


def test_a_region_that_grows_asks_for_pinned_memory_seldom(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, asked = select("cuda"), list[int]()
    real = fake.cuda.alloc_pinned_memory
    monkeypatch.setattr(fake.cuda, "alloc_pinned_memory", lambda size: asked.append(size) or real(size))
    staging = uploads.Staging(backend._device)
    for side in range(1, 300):
        part = np.full((side, side), side % 256, np.uint8)
        np.testing.assert_array_equal(staging.filled(part), part)
    assert len(asked) <= 18
    assert asked[-1] < 2 * 299**2


def pinned_like(backend: Any, pixels: np.ndarray) -> np.ndarray:
    return backend._device.pinned(pixels.size).reshape(pixels.shape)


def followed(tracker: dcfnet.Tracker, clip: Clip, given: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
    tracker.init(given(clip.frame(0)), clip.box(0))
    return [tuple(tracker.update(given(clip.frame(index))).box) for index in range(1, 10)]


CONFIG = {"patch_size": 48, "learn_every": 1, "look_again": 0.01}  # lessons and second looks in every frame


def test_pinned_frames_are_copied_from_where_they_are(place: str, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one buffer that a camera writes again as soon as a call has returned; lessons fetch what was missing."""
    monkeypatch.setattr(uploads, "MARGIN", 0)
    tracker = dcfnet.Tracker(device="cuda", config=CONFIG)
    expected = followed(tracker, clip, lambda frame: frame)
    assert len(tracker._pipeline.backend._uploads._turns[0]._memory) > 0
    tracker = dcfnet.Tracker(device="cuda", config=CONFIG)
    buffer = pinned_like(tracker._pipeline.backend, clip.frame(0))

    def written(frame: np.ndarray) -> np.ndarray:
        buffer[...] = frame
        return buffer

    assert followed(tracker, clip, written) == expected
    turns = tracker._pipeline.backend._uploads._turns
    assert [len(staging._memory) for staging in turns] == [0, 0]


def test_memory_is_pinned_where_both_its_ends_are(fake: Any) -> None:
    """Rows at a pitch; the second end is the last byte of the last row, and not one further."""
    device = select("cuda")._device
    memory = np.zeros((4, 1024), np.uint8)
    first, last = memory.ctypes.data, memory[2:3, 99:].ctypes.data
    for pinned in ([first, last], [first], [last], []):
        kinds = dict.fromkeys(pinned, fake.cuda.runtime.memoryTypeHost)
        fake.cuda.runtime.pointerGetAttributes = lambda at, kinds=kinds: SimpleNamespace(type=kinds.get(at, 0))
        assert device.pins(memory[:3, :100]) is (len(pinned) == 2)


def test_the_standin_refuses_frames_that_are_written_too_early(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = dcfnet.Tracker(device="cuda", config=CONFIG)
    buffer = pinned_like(tracker._pipeline.backend, clip.frame(0))
    monkeypatch.setattr(uploads.Uploads, "settle", lambda self: None)
    buffer[...] = clip.frame(0)
    tracker.init(buffer, clip.box(0))
    buffer[...] = clip.frame(9)
    with pytest.raises(AssertionError, match="pinned memory was written while a copy from it ran"):
        fake.state.copies.finish()


def test_a_frame_is_touched_where_patches_read_it(rng: np.random.Generator) -> None:
    """Every tap of the bilinear samples that lies in the frame."""
    for _ in range(300):
        centres, regions = rng.uniform(-20, 60, size=(2, 2)), rng.uniform(0.5, 50, size=(2, 2))
        steps, read = regions / 16, np.zeros((32, 40), bool)
        for centre, step in zip(centres, steps, strict=True):
            x, y = (np.floor(centre + (np.arange(16)[:, None] - 7.5) * step)).astype(int).T
            for columns, rows in ((x, y), (x + 1, y + 1)):
                inside = np.ix_(rows[(rows >= 0) & (rows < 32)], columns[(columns >= 0) & (columns < 40)])
                read[inside] = True
        found = np.zeros_like(read)
        found[touched(read.shape, centres, regions).slices] = True
        assert (found | ~read).all()


def test_what_is_missing_is_fetched_once(rng: np.random.Generator) -> None:
    for _ in range(300):
        sides = np.sort(rng.integers(0, 9, size=(2, 4)), axis=0)
        one = Rectangle(*sides[:, :2].T.reshape(-1)[[0, 2, 1, 3]].tolist())
        both = one.joined(Rectangle(*rng.integers(0, 9, size=4).tolist()))
        painted = np.zeros((9, 9), int)
        for part in (one, *both.without(one)):
            painted[part.slices] += 1 if part.area else 0
        expected = np.zeros((9, 9), int)
        expected[both.slices] = 1 if both.area else 0
        np.testing.assert_array_equal(painted, expected)
        assert both.holds(one)
        assert one.holds(both) == (one.area == both.area)
