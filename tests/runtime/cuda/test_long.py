"""Whole clips, single and in a batch, captured and not: the CPU's boxes, and no more memory at their end.

Short on the stand-in; on a GPU (`just gpu`) three clips of 400 frames, and two million target-frames.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.geometry import Box
from dcfnet.result import Result
from dcfnet_evaluation.rendered import Clip, render_clip

FRAMES, TARGETS = {"standin": 14, "gpu": 400}, {"standin": 3, "gpu": 64}
UPDATES = {"standin": 12, "gpu": 31_250}  # of 64 targets two million target-frames
CONFIG: dict[str, dict[str, Any]] = {"standin": {"patch_size": 48}, "gpu": {}}


@pytest.fixture(params=[True, False], ids=["captured", "call by call"])
def captures(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[0, *(pytest.param(seed, marks=pytest.mark.gpu) for seed in (1, 2))])
def seed(place: str, request: pytest.FixtureRequest) -> int:
    if request.param and place == "standin":
        pytest.skip("one clip will do")
    return int(request.param)


def rendered(place: str, seed: int) -> Clip:
    return render_clip(length=FRAMES[place], width=640, height=360, seed=seed, occluder=False)


def started(device: str, clip: Clip, targets: int, config: dict[str, Any], captures: bool) -> dcfnet.MultiTracker:
    tracker = dcfnet.MultiTracker(device=device, config=config)
    if device == "cuda":
        tracker._pipeline.backend.captures = captures  # type: ignore[misc]
    x, y, w, h = clip.box(0)
    for number in range(targets):
        tracker.add(clip.frame(0), Box(x + number % 8, y + number // 8, w, h))
    return tracker


@cache
def followed_by_the_cpu(place: str, seed: int, targets: int) -> list[dict[int, Result]]:
    """Its results in every frame, once for all that is compared with them: on a CPU hundreds of targets take long."""
    long = rendered(place, seed)
    tracker = started("cpu", long, targets, CONFIG[place], False)
    return [tracker.update(long.frame(index)) for index in range(1, long.length)]


@pytest.mark.parametrize("single", [True, False], ids=["single", "batch"])
def test_boxes_of_a_long_clip_are_the_cpus(place: str, seed: int, single: bool, captures: bool) -> None:
    long, targets = rendered(place, seed), 1 if single else TARGETS[place]
    tracker = started("cuda", long, targets, CONFIG[place], captures)
    apart = []
    for index, expected in enumerate(followed_by_the_cpu(place, seed, targets), start=1):
        found = tracker.update(long.frame(index))
        assert [result.reason for result in found.values()] == [result.reason for result in expected.values()]
        apart += [np.abs(np.subtract(tuple(found[target].box), tuple(expected[target].box))).max() for target in found]
        assert max(apart) < 0.1, index
    assert np.median(apart) == 0  # and nearly all are the same to the last bit


def allocated(place: str) -> int:
    """Bytes of the device that are taken, or pieces of the stand-in's."""
    import cupy

    if place == "standin":
        return len(cupy.state.chunks)
    cupy.cuda.Device().synchronize()
    free, total = cupy.cuda.runtime.memGetInfo()
    return int(total - free)


@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_no_memory_is_taken_however_long_it_runs(place: str, captures: bool, on_device: bool) -> None:
    import cupy

    long = render_clip(length=10, width=640, height=360, occluder=False)
    tracker = started("cuda", long, TARGETS[place], {**CONFIG[place], "look_again": 0.1}, captures)
    frames = [cupy.asarray(long.frame(index)) if on_device else long.frame(index) for index in range(10)]
    for index in range(8):
        tracker.update(frames[index])
    before = allocated(place)
    for index in range(UPDATES[place] if captures else UPDATES[place] // 6):
        tracker.update(frames[9 - abs(index % 18 - 9)])
    assert allocated(place) == before
