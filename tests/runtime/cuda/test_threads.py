"""Several threads and trackers, signals during an update, and the end of the interpreter."""

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


def track(clip: Clip, device: str, start: int) -> np.ndarray:
    """The boxes of nine frames after frame `start`."""
    tracker = dcfnet.Tracker("dcfnet", device=device, config=SMALL)
    tracker.init(clip.frame(start), clip.box(start))
    return np.array([tuple(tracker.update(clip.frame(start + index)).box) for index in range(1, 10)])


def test_trackers_on_different_threads_are_independent(place: str, clip: Clip) -> None:
    """On a GPU each thread has its own stream."""
    barrier = Barrier(4)

    def run(start: int) -> np.ndarray:
        import cupy

        barrier.wait()
        if place == "standin":
            return track(clip, "cuda", start)
        with cupy.cuda.Stream(non_blocking=True):
            return track(clip, "cuda", start)

    starts = [0, 5, 10, 15]
    sequential = [track(clip, "cuda", start) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(run, starts))
    for found, expected in zip(parallel, sequential, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_updates_of_one_tracker_from_several_threads_run_one_after_another(place: str, clip: Clip) -> None:
    """Every update counts, and none reads a state that another one is changing."""
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=SMALL)
    tracker.init(clip.frame(0), clip.box(0))
    barrier = Barrier(4)

    def run(_: int) -> list[Any]:
        barrier.wait()
        return [tracker.update(clip.frame(1)) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        results = [result for of_thread in pool.map(run, range(4)) for result in of_thread]
    assert tracker._state is not None
    assert int(tracker._state.updates[0]) == 40
    assert min(result.box.iou(clip.box(1)) for result in results) > 0.7


def interrupting(launch: Any, kernel: str, occurrence: int) -> Any:
    """`CudaDevice.launch_blocks` with a KeyboardInterrupt at this occurrence of a kernel, counted from 1."""
    launched: list[str] = []

    def interrupted(device: Any, name: str, *arguments: Any, **options: Any) -> None:
        launched.append(name)
        if name == kernel and launched.count(kernel) == occurrence:
            raise KeyboardInterrupt
        launch(device, name, *arguments, **options)

    return interrupted


@pytest.mark.parametrize("kernel", ["crop_half", "features_half", "multiply_complex"])
def test_a_signal_during_an_update_does_not_change_the_state(
    fake: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """The signal comes in the search pass or in the update of the filter. The pinned frame may then be overwritten."""
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config={**SMALL, "update_interval": 1})
    tracker.init(clip.frame(0), clip.box(0))
    device, state = tracker._pipeline.backend._device, tracker._state
    frame = device.pinned(clip.frame(1).size).reshape(clip.frame(1).shape)
    for occurrence in (1, 2):  # in the search pass, in the update
        frame[...] = clip.frame(1)
        with monkeypatch.context() as patch:
            patch.setattr(type(device), "launch_blocks", interrupting(type(device).launch_blocks, kernel, occurrence))
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
tracker = dcfnet.Tracker("dcfnet", device="cuda")
tracker.init(clip.frame(0), clip.box(0))
print(tracker.update(clip.frame(1)).status)
if sys.argv[1] == "raise":
    raise KeyboardInterrupt
"""


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
@pytest.mark.parametrize("ending", ["end", "raise"])
def test_the_interpreter_ends_while_a_tracker_is_alive(place: str, ending: str) -> None:
    """Streams, events and memory are freed in any order, without a crash and without output."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, ending], capture_output=True, text=True)
    assert done.stdout.strip() == "tracked"
    if ending == "end":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.stderr.strip().endswith("KeyboardInterrupt")
