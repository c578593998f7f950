"""The life of a tracker object: copies, threads, forks of the process, `with`, and mistakes in the calling program."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import Box, FrameTypeError, MultiTracker, Reason, Status, Tracker
from dcfnet_evaluation.rendered import Clip

from tests.conftest import make_raw_pipeline

SMALL: dict[str, Any] = {"device": "cpu", "config": {"patch_size": 48}}


@pytest.fixture
def tracker(clip: Clip) -> Tracker:
    """A tracker on raw pixels, after `init`."""
    tracker = Tracker.of(make_raw_pipeline())
    tracker.init(clip.frame(0), clip.box(0))
    return tracker


@pytest.fixture(scope="module")
def many_shared() -> MultiTracker:
    return MultiTracker("dcfnet", **SMALL, threads=1)


@pytest.fixture
def many(many_shared: MultiTracker) -> MultiTracker:
    many_shared.close()
    return many_shared


# --- copies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_an_independent_tracker_with_the_same_target(tracker: Tracker, clip: Clip, duplicate: Any) -> None:
    twin, reference = duplicate(tracker), duplicate(tracker)
    assert twin._pipeline is tracker._pipeline
    expected = [tracker.update(clip.frame(index)) for index in range(1, 5)]
    reference.init(clip.frame(20), clip.box(20))
    reference.close()
    assert [twin.update(clip.frame(index)) for index in range(1, 5)] == expected


def test_a_copy_of_many_targets_has_its_own_ids(many: MultiTracker, clip: Clip) -> None:
    first, second = (many.add(clip.frame(0), clip.box(0), source) for source in (0, 5))
    twin = copy.copy(many)
    many.remove(first)
    assert list(twin.targets) == [first, second]
    assert twin.add(clip.frame(0), clip.box(0)) == many.add(clip.frame(0), clip.box(0))
    assert twin.update({5: clip.frame(1)}) == many.update({5: clip.frame(1)})


def test_a_copy_of_a_tracker_without_a_target_has_none() -> None:
    assert copy.copy(Tracker.of(make_raw_pipeline())).box is None


def test_pickle_names_save_and_restore(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match=r"a Tracker cannot be pickled, .*save\(file\).*restore\(file\)"):
        pickle.dumps(tracker)


# --- box, targets, with, repr, to_dict --------------------------------------------------------------------------------


def test_a_tracker_has_its_box_and_closes_at_the_end_of_a_with_block(clip: Clip) -> None:
    with Tracker.of(make_raw_pipeline()) as tracker:
        assert tracker.box is None
        assert repr(tracker) == "<Tracker, own backbone on cpu, no target>"
        tracker.init(clip.frame(0), clip.box(0))
        found = tracker.update(clip.frame(1))
        assert tracker.box == found.box
        assert repr(tracker).startswith("<Tracker, own backbone on cpu, box (1")
    assert tracker.box is None
    assert tracker._state is None


def test_a_multitracker_has_its_targets(many: MultiTracker, clip: Clip) -> None:
    assert many.targets == {}
    with many:
        id_ = many.add(clip.frame(0), clip.box(0))
        found = many.update(clip.frame(1))
        assert many.targets == {id_: found[id_].box}
        assert repr(many) == "<MultiTracker, dcfnet.onnx on cpu, 1 targets>"
    assert many.targets == {}


def test_a_result_converts_to_plain_values(tracker: Tracker, clip: Clip) -> None:
    result = tracker.update(clip.frame(1))
    plain = json.loads(json.dumps(result.to_dict()))
    assert type(plain["box"]) is list
    assert dcfnet.Result(**{**plain, "box": Box(*plain["box"])}) == result
    assert (plain["status"], plain["reason"]) == ("tracked", "found")


# --- mistakes in the calling program --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([np.zeros((9, 9, 3), np.uint8)] * 2, r"frame is a list of 2: .*uint8.*\{source: frame\}"),
        ((True, np.zeros((9, 9, 3), np.uint8)), "frame is a tuple of 2: .*give one frame"),
        ({"0": None}, "frame is a dict of 1: .*give one frame"),
        ("frame.jpg", "frame is a str: .*read the image first"),
        (dcfnet.Rgb("frame.jpg"), "frame is a str: "),
        (Path("frame.jpg"), "frame is a .*Path: .*read the image first"),
        (0.5, "frame is a float: "),
    ],
)
def test_an_argument_that_can_never_be_a_frame_raises(tracker: Tracker, clip: Clip, frame: Any, message: str) -> None:
    before = tracker._state
    for call in (tracker.update, lambda given: tracker.update_async(given).result(60)):
        with pytest.raises(TypeError, match=message):
            call(frame)
    with pytest.raises(FrameTypeError, match=message):
        tracker.init(frame, clip.box(0))
    assert tracker._state is before


@pytest.mark.parametrize("frame", [np.zeros((90, 90, 3)), np.zeros((90, 90, 3), np.float32), np.uint8(3), object()])
def test_any_array_and_other_objects_have_a_result(tracker: Tracker, frame: Any) -> None:
    """A camera or a topic of a robot can deliver another type at any time."""
    result = tracker.update(frame)
    assert (result.status, result.reason) == (Status.LOST, Reason.BAD_FRAME)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda frame: [frame, frame], r"frame is a list of 2: .*\{source: frame\}"),
        (
            lambda frame: {"0": frame},
            "frames has the key '0', a str: a key is the source of a target, the whole number",
        ),
        (lambda frame: {True: frame}, "frames has the key True, a bool"),
        (lambda frame: {0.0: frame}, r"frames has the key 0\.0, a float"),
        (lambda frame: {0: [frame]}, "frame is a list of 1"),
    ],
)
def test_frames_without_sources_raise(many: MultiTracker, clip: Clip, make: Any, message: str) -> None:
    many.add(clip.frame(0), clip.box(0))
    with pytest.raises(TypeError, match=message):
        many.update(make(clip.frame(1)))
    assert len(many.update({np.int64(0): clip.frame(1), 9: None})) == 1


def test_a_list_raises_before_the_first_target_too(many: MultiTracker, clip: Clip) -> None:
    with pytest.raises(FrameTypeError, match="frame is a list"):
        many.update([clip.frame(0)])  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [np.int64(3), np.uint8(3), 3])
def test_whole_numbers_of_numpy_are_sources(many: MultiTracker, clip: Clip, source: Any) -> None:
    id_ = many.add(clip.frame(0), clip.box(0), source=source)
    assert set(many.update({3: clip.frame(1)})) == {id_}


@pytest.mark.parametrize("source", [True, np.bool_(True), 3.0, "3", 2**31, None])
def test_other_sources_raise(many: MultiTracker, clip: Clip, source: Any) -> None:
    with pytest.raises(dcfnet.ConfigError, match=r"source=.*: must be a whole number"):
        many.add(clip.frame(0), clip.box(0), source=source)


# --- threads --------------------------------------------------------------------------------------------------------


def test_six_threads_use_one_multitracker(many: MultiTracker, clip: Clip) -> None:
    """Targets come and go, and frames of all cameras are updated, directly and queued, at the same time."""
    frames, start, barrier = [clip.frame(index) for index in range(3)], clip.box(0), Barrier(6)

    def use(thread: int) -> int:
        barrier.wait()
        for index in range(2):
            id_ = many.add(frames[0], start, source=thread)
            updates = dict.fromkeys(range(6), frames[index % 3])
            results = many.update_async(updates).result(60) if index % 2 else many.update(updates)
            assert id_ in results
            assert many.targets[id_].iou(start) > 0.3
            many.remove(id_)
        return id_

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(use, range(6)))) == 6
    assert many.targets == {}


# --- a fork of the process ------------------------------------------------------------------------------------------

FORK = """
import os, signal, sys
import numpy as np
import dcfnet

frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
tracker = dcfnet.Tracker("dcfnet", device="cpu", engine="onnxruntime", threads=2, config={"patch_size": 48})
tracker.init(frame, (40, 40, 40, 40))
tracker.update_async(frame).result()
child = os.fork()
if child == 0:
    signal.alarm(20)
    for call in (
        lambda: tracker.update(frame), lambda: tracker.update_async(frame).result(), lambda: tracker.box,
        lambda: tracker.save("x"), tracker.warm_up
    ):
        try:
            call()
        except dcfnet.DeviceError as error:
            print(error)
    print(repr(tracker))
    tracker.close()
    tracker = dcfnet.Tracker("dcfnet", device="cpu", engine="onnxruntime", threads=2, config={"patch_size": 48})
    tracker.init(frame, (40, 40, 40, 40))
    print(tracker.update(frame).status)
    sys.exit(7)  # runs all destructors
print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), tracker.update(frame).status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_the_process_has_an_error_and_ends() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    *errors, shown, tracked, parent = done.stdout.splitlines()
    assert len(errors) == 5
    assert len(set(errors)) == 1
    assert "is a fork of it" in errors[0]
    assert "make a tracker in the new process, or start workers with multiprocessing.get_context('spawn')" in errors[0]
    assert shown.startswith("<Tracker, dcfnet.onnx on cpu, ")
    assert (tracked, parent) == ("tracked", "status 7 tracked")
