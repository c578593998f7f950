"""Whole clips, with one target and with a batch, captured and not: the boxes of the CPU, and constant memory.

The clips are short on the stand-in. On a GPU (`./justw gpu`) there are three clips of 400 frames, and two million
target-frames.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.result import Box, Result
from dcfnet_evaluation.rendered import Clip, render_clip

FRAMES, TARGETS = {"standin": 14, "gpu": 400}, {"standin": 3, "gpu": 64}
UPDATES = {"standin": 12, "gpu": 31_250}  # with 64 targets: two million target-frames
WARM_UP = {"standin": 8, "gpu": 72}  # on a GPU every search position, and so every size of a copy, has occurred twice
# Bytes or chunks. On a GPU other programs also use memory. A leak of 512 bytes per update, the least, would be 16 MB.
GROWTH = {"standin": 0, "gpu": 8 << 20}
CONFIG: dict[str, dict[str, Any]] = {"standin": {"patch_size": 48}, "gpu": {}}


@pytest.fixture(params=[True, False], ids=["captured", "call by call"])
def captures(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[0, *(pytest.param(seed, marks=pytest.mark.gpu) for seed in (1, 2))])
def seed(place: str, request: pytest.FixtureRequest) -> int:
    if request.param and place == "standin":
        pytest.skip("the stand-in runs one clip only")
    return int(request.param)


def rendered(place: str, seed: int) -> Clip:
    return render_clip(length=FRAMES[place], width=640, height=360, seed=seed, occluder=False)


def started(device: str, clip: Clip, targets: int, config: dict[str, Any], captures: bool) -> dcfnet.MultiTracker:
    tracker = dcfnet.MultiTracker("dcfnet", device=device, config=config)
    if device == "cuda":
        tracker._pipeline.backend.captures = captures  # type: ignore[misc]
    x, y, w, h = clip.box(0)
    for number in range(targets):
        tracker.add(clip.frame(0), Box(x + number % 8, y + number // 8, w, h))
    return tracker


@cache
def results_of_the_cpu(place: str, seed: int, targets: int) -> list[dict[int, Result]]:
    """The results in every frame. They are cached, because many targets take long on a CPU."""
    clip = rendered(place, seed)
    tracker = started("cpu", clip, targets, CONFIG[place], False)
    return [tracker.update(clip.frame(index)) for index in range(1, clip.length)]


@pytest.mark.parametrize("single", [True, False], ids=["single", "batch"])
def test_boxes_of_a_long_clip_equal_those_of_the_cpu(place: str, seed: int, single: bool, captures: bool) -> None:
    clip, targets = rendered(place, seed), 1 if single else TARGETS[place]
    tracker = started("cuda", clip, targets, CONFIG[place], captures)
    differences = []
    for index, expected in enumerate(results_of_the_cpu(place, seed, targets), start=1):
        found = tracker.update(clip.frame(index))
        assert [result.reason for result in found.values()] == [result.reason for result in expected.values()]
        for target, result in found.items():
            differences.append(np.abs(np.subtract(tuple(result.box), tuple(expected[target].box))).max())
        assert max(differences) < 0.1, index
    assert np.median(differences) == 0  # most boxes are equal bit for bit


def allocated(place: str) -> int:
    """Device memory in use: bytes of the GPU, or chunks of the stand-in."""
    import cupy

    if place == "standin":
        return len(cupy.state.chunks)
    cupy.cuda.Device().synchronize()
    free, total = cupy.cuda.runtime.memGetInfo()
    return int(total - free)


@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_a_long_run_needs_no_more_memory(place: str, captures: bool, on_device: bool) -> None:
    import cupy

    clip = render_clip(length=10, width=640, height=360, occluder=False)
    tracker = started("cuda", clip, TARGETS[place], {**CONFIG[place], "second_pass_distance": 0.1}, captures)
    frames = [cupy.asarray(clip.frame(index)) if on_device else clip.frame(index) for index in range(10)]
    order = [9 - abs(index % 18 - 9) for index in range(max(WARM_UP[place], UPDATES[place]))]
    for index in order[: WARM_UP[place]]:
        tracker.update(frames[index])
    before = allocated(place)
    for index in order[: UPDATES[place] if captures else UPDATES[place] // 6]:
        tracker.update(frames[index])
    assert allocated(place) <= before + GROWTH[place]
