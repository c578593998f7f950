"""Frames that the device decides about, from frame to box: the results, states and filters of decisions on the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cuda.slots import SlotFilters
from dcfnet.result import Box, Reason, Result
from dcfnet.tracking import steps
from dcfnet.tracking.state import TrackState
from dcfnet_evaluation.rendered import Clip

# These settings also search after camera cuts, so each target keeps the view of its frame.
WHOLE_FRAME = {"min_strength": 0.4, "redetection_patches": 4, "scales": 1}
Frames = dict[int, Any]
History = list[dict[int, Result]]


@contextmanager
def decisions_on_the_host() -> Iterator[None]:
    """A context in which no device decides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlotFilters, "decide", lambda *_: None)
        yield


def frames_of(clip: Clip) -> list[Frames]:
    """Frames of two cameras: all that happens to a camera, one thing after another."""
    rng, frame = np.random.default_rng(3), [clip.frame(index) for index in range(14)]
    noise = rng.integers(0, 256, frame[0].shape, np.uint8)
    return [
        {0: frame[1], 1: frame[1]},
        {0: frame[2]},  # camera 1 skips a frame
        {0: np.zeros_like(noise), 1: frame[2]},  # no texture
        {0: frame[3], 1: np.roll(frame[3], 9, axis=1)},  # a second search pass
        {0: frame[4], 1: None},
        {0: frame[5].repeat(2, axis=0).repeat(2, axis=1), 1: frame[5]},  # another resolution
        {0: frame[6], 1: frame[6]},
        {0: frame[7], 1: np.rint(frame[7] * 0.3).astype(np.uint8)},  # another light
        *({0: noise, 1: np.roll(frame[7], shift, axis=0)} for shift in (40, 80, 120)),  # the target is lost
        *({0: frame[index], 1: frame[index]} for index in (8, 9, 10, 11)),  # and found again
    ]


def tracked(
    clip: Clip, convert: Any, config: dict[str, Any], keys: tuple[int, int] = (0, 1)
) -> tuple[History, dcfnet.MultiTracker]:
    """The results, and the tracker at the end. Two targets come, and one goes. keys: of the two cameras."""
    tracker, history, (x, y, w, h) = dcfnet.MultiTracker("dcfnet", device="cuda", config=config), [], clip.box(0)
    for number in range(3):
        tracker.add(clip.frame(0), Box(x + 3 * number, y + number, w, h), source=keys[number % 2])
    for index, frames in enumerate(frames_of(clip)):
        if index == 4:
            tracker.remove(0)
            tracker.add(clip.frame(3), clip.box(3), source=keys[1])
        shown = {keys[camera]: frame if frame is None else convert(frame) for camera, frame in frames.items()}
        history.append(tracker.update(shown))
    return history, tracker


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("changes", [{}, {"min_strength": 0.4, "update_interval": 1, "scales": 5}, WHOLE_FRAME])
def test_results_equal_those_of_decisions_on_the_host(
    fake: Any, clip: Clip, on_device: bool, changes: dict[str, Any]
) -> None:
    convert, config = fake.asarray if on_device else np.asarray, {"patch_size": 48, **changes}
    found, tracker = tracked(clip, convert, config)
    with decisions_on_the_host():
        expected, reference = tracked(clip, convert, config)
    assert found == expected
    states = [one._state for one in (tracker, reference)]
    np.testing.assert_array_equal(*(state.targets for state in states if state is not None))
    assert tracker._state is not None
    assert tracker._state.view.any() == tracker.config.searches_whole_frame()
    filters = [state.filters.arrays.by_name() for state in states if state is not None]
    for name, array in filters[0].items():
        np.testing.assert_array_equal(*(tracker._pipeline.backend.to_host(each[name]) for each in filters), name)
        assert array.shape
    reasons = {result.reason for results in found for result in results.values()}
    lost = {Reason.OCCLUDED} if "min_strength" in changes else {Reason.UNLIKE, Reason.LOW_PSR}
    assert reasons >= {Reason.FOUND, Reason.NO_TEXTURE, Reason.NO_FRAME, Reason.RESOLUTION_CHANGED}
    assert reasons & lost


@pytest.mark.parametrize("on_device", [False, True])
def test_the_keys_of_cameras_change_no_result(fake: Any, clip: Clip, on_device: bool) -> None:
    convert, config = fake.asarray if on_device else np.asarray, {"patch_size": 48}
    expected, reference = tracked(clip, convert, config)
    found, tracker = tracked(clip, convert, config, keys=(40, -7))
    assert found == expected
    assert tracker._state is not None
    assert reference._state is not None
    targets = tracker._state.targets.copy()
    assert set(targets["source"]) == {40, -7}
    targets["source"] = reference._state.source
    np.testing.assert_array_equal(targets, reference._state.targets)


def test_other_keys_of_cameras_need_no_copy_of_the_state(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state has the keys themselves, so a frame is as fast as with the keys 0 and 1."""
    tracker = dcfnet.MultiTracker("dcfnet", device="cuda", config={"patch_size": 48})
    for key in (40, -7):
        tracker.add(clip.frame(0), clip.box(0), source=key)
    shown = [dict.fromkeys((40, -7), fake.asarray(clip.frame(index))) for index in range(4)]
    tracker.update(shown[1])
    for name in ("replace", "take", "put"):
        monkeypatch.setattr(TrackState, name, None)
    for frames in shown[2:]:
        assert len(tracker.update(frames)) == 2


def test_the_host_decides_nothing_about_a_target_that_is_tracked(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame is one launch; one more for a second search pass, and one more for an update of the filter.

    In frame 3 the target jumps, and in frame 4 it jumps back. Frames 2 and 4 have an update.
    """
    tracker, launches = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48}), []
    tracker.init(clip.frame(0), clip.box(0))
    for name in ("_track", "search", "update_filters"):
        monkeypatch.setattr(steps, name, None)
    for index in range(1, 5):
        before, jump = len(fake.state.launched), 22 * (index == 3)
        tracker.update(fake.asarray(np.roll(clip.frame(index), jump, axis=1)))
        launches.append(len(fake.state.launched) - before)
    assert launches == [1, 2, 2, 3]
