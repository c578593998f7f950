"""Frames in pinned memory: *detect* reads them in place, and nothing reads them after `update` has returned."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cuda import uploads
from dcfnet.devices.cuda.slot_programs import SlotPrograms
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.device_arrays import on_device
from tests.runtime.test_pixel_formats import nv12_of

SMALL = {"patch_size": 48, "second_pass_distance": 0.01}  # frames have a second search pass
Reads = dict[str, list[int]]  # addresses of the frames that each program was given


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    seen: Reads = {"decide": [], "update": []}
    for name, addresses in seen.items():
        real = getattr(SlotPrograms, name)

        def spy(self: Any, *given: Any, real: Any = real, addresses: list[int] = addresses) -> Any:
            addresses.extend(given[1]["pixels"].tolist())
            return real(self, *given)

        monkeypatch.setattr(SlotPrograms, name, spy)
    return seen


def camera(tracker: dcfnet.MultiTracker, shape: tuple[int, ...]) -> np.ndarray:
    """A buffer of a camera, in pinned memory."""
    pinned: np.ndarray = tracker._pipeline.backend._device.pinned(int(np.prod(shape))).reshape(shape)  # type: ignore[attr-defined]
    return pinned


def tracked(clip: Clip, given: Callable[[dcfnet.MultiTracker, np.ndarray], Any], targets: int = 1) -> list[Any]:
    """The results in five frames. given: the frame in another memory."""
    tracker, (x, y, w, h) = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL), clip.box(0)
    for number in range(targets):
        tracker.add(given(tracker, clip.frame(0)), (x + number, y, w, h))
    return [tracker.update(given(tracker, clip.frame(index))) for index in range(1, 6)]


class Camera:
    """Writes every frame to its only buffer."""

    def __init__(self, wrap: Callable[[np.ndarray], Any] = lambda pixels: pixels) -> None:
        self.buffer, self._wrap = np.empty(0, np.uint8), wrap

    def __call__(self, tracker: dcfnet.MultiTracker, pixels: np.ndarray) -> Any:
        if not self.buffer.size:
            self.buffer = camera(tracker, pixels.shape)
        self.buffer[...] = pixels
        return self._wrap(self.buffer)

    def holds(self, address: int) -> bool:
        return 0 <= address - self.buffer.ctypes.data < self.buffer.nbytes


def test_detect_reads_in_place_and_an_update_reads_a_copy(place: str, clip: Clip, reads: Reads) -> None:
    """The host does not wait for an update of the filter, so it must not read the buffer of the camera."""
    expected = tracked(clip, lambda _, pixels: pixels)
    reads["decide"].clear(), reads["update"].clear()
    pinned = Camera()
    assert tracked(clip, pinned) == expected
    assert all(map(pinned.holds, reads["decide"]))
    assert len(reads["decide"]) > 5  # also in second passes
    assert reads["update"]
    assert not any(map(pinned.holds, reads["update"]))


def test_a_frame_without_an_update_copies_nothing(place: str, clip: Clip) -> None:
    tracker, pinned = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48}), Camera()
    tracker.init(clip.frame(0), clip.box(0))
    copied = []
    for index in range(1, 5):
        tracker.update(pinned(tracker, clip.frame(index)))  # type: ignore[arg-type]
        copied.append(tracker._pipeline.backend._uploads.copied)  # type: ignore[attr-defined]
    steps = np.diff([0, *copied])[1:]
    assert tracker.config.update_interval == 2
    assert (steps > 0).tolist() == [True, False, True]


def test_both_planes_of_nv12_are_read_in_place(place: str, clip: Clip, reads: Reads) -> None:
    nv12 = SimpleNamespace(length=clip.length, box=clip.box, frame=lambda index: nv12_of(clip.frame(index)))
    expected = tracked(nv12, lambda _, surface: dcfnet.Nv12(on_device(surface)))  # type: ignore[arg-type]
    reads["decide"].clear()
    pinned = Camera(dcfnet.Nv12)
    assert tracked(nv12, pinned) == expected  # type: ignore[arg-type]
    assert all(map(pinned.holds, reads["decide"]))


@pytest.mark.parametrize("reason", ["many targets", "no address on the GPU", "a camera in other memory", "turned off"])
def test_frames_are_copied_otherwise(
    place: str, clip: Clip, reads: Reads, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    pinned, real = Camera(), uploads.pinned_address
    if reason == "no address on the GPU":
        monkeypatch.setattr(uploads, "pinned_address", lambda *given: None if real(*given) is None else 0)
    if reason == "turned off":
        monkeypatch.setattr(importlib.import_module("dcfnet.devices.cuda.backend").CudaBackend, "reads_in_place", False)
    targets = 3 if reason == "many targets" else 1
    if reason == "a camera in other memory":
        tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=SMALL)
        for source in (0, 4):
            tracker.add(clip.frame(0), clip.box(0), source)
        tracker.update({0: pinned(tracker, clip.frame(1)), 4: clip.frame(1)})
    else:
        assert tracked(clip, pinned, targets) == tracked(clip, lambda _, pixels: pixels, targets)
    assert reads["decide"]
    assert not any(map(pinned.holds, reads["decide"]))


def test_the_view_of_a_frame_in_place_is_that_of_a_copied_one(place: str, clip: Clip) -> None:
    """Kernels read the view in the frame where it is; for a copied frame the host does, which has all of its pixels."""
    pinned, views = Camera(), []
    for given in (pinned, lambda _, pixels: pixels):
        config = {**SMALL, "scales": 1, "min_strength": 0.3, "redetection_patches": 2}
        tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config=config)
        tracker.add(given(tracker, clip.frame(0)), clip.box(0))  # type: ignore[no-untyped-call]
        tracker.update(given(tracker, clip.frame(3)))  # type: ignore[no-untyped-call]
        assert tracker._state is not None
        views.append(tracker._state.view.copy())
    np.testing.assert_array_equal(*views)
    assert len(set(views[0].reshape(-1).tolist())) > 10
