"""Several threads and trackers, signals in the midst of an update, and the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet_evaluation.rendered import Clip

SMALL = {"patch_size": 48}


def followed(clip: Clip, device: str, start: int) -> np.ndarray:
    tracker = dcfnet.Tracker(device=device, config=SMALL)
    tracker.init(clip.frame(start), clip.box(start))
    return np.array([tuple(tracker.update(clip.frame(start + index)).box) for index in range(1, 10)])


def test_trackers_on_threads_of_their_own_know_nothing_of_each_other(place: str, clip: Clip) -> None:
    """Each on a stream of its own, where there are some, with its own pinned memory."""
    together = Barrier(4)

    def run(start: int) -> np.ndarray:
        import cupy

        together.wait()
        if place == "standin":
            return followed(clip, "cuda", start)
        with cupy.cuda.Stream(non_blocking=True):
            return followed(clip, "cuda", start)

    starts = [0, 5, 10, 15]
    alone = [followed(clip, "cuda", start) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, starts))
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_that_share_a_tracker_go_one_after_another(place: str, clip: Clip) -> None:
    """No update is lost, and none sees half of another's state."""
    tracker = dcfnet.Tracker(device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    together = Barrier(4)

    def run(_: int) -> list[Any]:
        together.wait()
        return [tracker.update(clip.frame(1)) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for told in pool.map(run, range(4)) for answer in told]
    assert tracker._state is not None
    assert int(tracker._state.updates[0]) == 40
    assert min(answer.box.iou(clip.box(1)) for answer in answers) > 0.7


def interrupting(launch: Any, operation: str, moment: int) -> Any:
    """A launch that Ctrl-C comes amid, of this kernel, this time that it is asked for."""
    calls: list[str] = []

    def interrupted(device: Any, kernel: str, *rest: Any) -> None:
        calls.append(kernel)
        if kernel == operation and calls.count(operation) == moment:
            raise KeyboardInterrupt
        launch(device, kernel, *rest)

    return interrupted


@pytest.mark.parametrize("operation", ["crop_half", "features_small_half", "multiply_complex"])
def test_a_signal_in_the_midst_of_an_update_moves_nothing(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Wherever it comes: in the first look, in the lesson; the pinned frame that was given may be written again."""
    tracker = dcfnet.Tracker(device="cuda", config={**SMALL, "learn_every": 1})
    tracker.init(clip.frame(0), clip.box(0))
    device, state = tracker._pipeline.backend._device, tracker._state
    frame = device.pinned(clip.frame(1).size).reshape(clip.frame(1).shape)
    for moment in (1, 2):  # of the first look, of the lesson
        frame[...] = clip.frame(1)
        with monkeypatch.context() as patch:
            patch.setattr(type(device), "launch_blocks", interrupting(type(device).launch_blocks, operation, moment))
            with pytest.raises(KeyboardInterrupt):
                tracker.update(frame)
        frame[...] = 0
        assert tracker._state is state
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


PROGRAM = """
import sys
import dcfnet
import numpy as np
from dcfnet_evaluation.rendered import render_clip

clip = render_clip(length=4, width=160, height=120, occluder=False)
tracker = dcfnet.Tracker(device="cuda")
tracker.init(clip.frame(0), clip.box(0))
print(tracker.update(clip.frame(1)).status)
if sys.argv[1] == "raise":
    raise KeyboardInterrupt
"""


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
@pytest.mark.parametrize("how", ["end", "raise"])
def test_the_interpreter_ends_while_a_tracker_lives(place: str, how: str) -> None:
    """Streams, events and memory are let go in whatever order; nothing crashes, nothing is said."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True)
    assert done.stdout.strip() == "tracked"
    if how == "end":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.stderr.strip().endswith("KeyboardInterrupt")
