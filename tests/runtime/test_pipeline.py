"""The whole core on raw pixels: what goes in moves out, for one target and for many, without a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.config import NEVER
from dcfnet.geometry import Box
from dcfnet.pipeline import Pipeline
from dcfnet.result import Reason, Status
from dcfnet.state import TrackState
from dcfnet.steps import init, step
from dcfnet_evaluation.rendered import Clip, noise_texture

from tests.conftest import make_raw_pipeline


def bits(state: TrackState) -> dict[str, np.ndarray]:
    """All that is remembered."""
    return {name: value for name, value in vars(state).items() if name != "filters"} | vars(state.filters.arrays)


def moved(frame: np.ndarray, dx: int, dy: int) -> np.ndarray:
    return np.roll(frame, (dy, dx), axis=(0, 1))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (6, 0), (0, 6), (-9, 4), (12, -11)])
@pytest.mark.parametrize("size", [(40, 40), (24, 60), (70, 30)])
def test_a_moved_picture_moves_the_box_by_as_much(frame: np.ndarray, dx: int, dy: int, size: tuple[int, int]) -> None:
    """Width and height never swap, and the displacement is in the pixels that the crop was in."""
    raw_pipeline = make_raw_pipeline(scales=1)
    box = Box.of((160, 120), size)
    state = init(raw_pipeline, [frame], [box], [0])
    _, (result,) = step(raw_pipeline, state, [moved(frame, dx, dy)])
    assert result.status is Status.TRACKED
    assert tuple(result.box) == pytest.approx(
        (box.x + dx, box.y + dy, box.w, box.h), abs=0.6
    )  # the window pulls a little


@pytest.mark.parametrize(("dx", "dy"), [(20, 0), (0, -24), (-22, 22)])
def test_a_target_that_leapt_is_looked_for_again_from_there(frame: np.ndarray, dx: int, dy: int) -> None:
    """Of a target half its size away the window leaves little: the peak is low, and pulled back by a pixel or so."""
    box = Box(140, 100, 40, 40)
    found = {}
    for distance in (0.25, NEVER):
        pipeline = make_raw_pipeline(scales=1, look_again=distance)
        state = init(pipeline, [frame], [box], [0])
        _, (found[distance],) = step(pipeline, state, [moved(frame, dx, dy)])
    once, twice = found[NEVER], found[0.25]
    assert tuple(twice.box) == pytest.approx((box.x + dx, box.y + dy, 40, 40), abs=0.15)
    assert abs(once.box.x - box.x - dx) + abs(once.box.y - box.y - dy) > 0.3
    assert twice.peak > 1.1 * once.peak


def test_who_was_looked_for_twice_must_have_been_sure_twice(frame: np.ndarray) -> None:
    """What is not there may look clear once by chance; the box follows the clearer look all the same."""
    box, clarity = Box(140, 100, 40, 40), {}
    for distance in (0.25, NEVER):
        pipeline = make_raw_pipeline(scales=1, look_again=distance)
        state = init(pipeline, [frame], [box], [0])
        _, (result,) = step(pipeline, state, [moved(frame, 24, 0)])
        clarity[distance] = result.psr
    assert clarity[0.25] > 1.1 * clarity[NEVER]
    between = (clarity[0.25] + clarity[NEVER]) / 2
    pipeline = make_raw_pipeline(scales=1, sure_psr=between, min_psr=between)
    _, (result,) = step(pipeline, init(pipeline, [frame], [box], [0]), [moved(frame, 24, 0)])
    assert (result.status, result.reason) == (Status.UNCERTAIN, Reason.LOW_PSR)
    assert result.psr == clarity[0.25]
    assert result.box.x == pytest.approx(164, abs=0.1)


def test_only_who_has_moved_far_is_looked_for_again(frame: np.ndarray) -> None:
    """Two targets in two cameras: three patches each, and three more of the one that leapt."""
    pipeline, boxes = make_raw_pipeline(learn_every=2), [Box(60, 60, 40, 40), Box(200, 100, 40, 40)]
    patches: list[int] = []

    def counting(batch: np.ndarray) -> np.ndarray:
        patches.append(len(batch))
        return batch

    object.__setattr__(pipeline, "backbone", counting)
    state = init(pipeline, [frame, frame], boxes, [0, 1])
    for leap, looked in ((4, 6), (24, 9)):
        fresh, _ = state.take(np.arange(2)).replace(), patches.clear()
        step(pipeline, fresh, [frame, moved(frame, leap, 0)])
        assert sum(patches) == looked


@pytest.mark.parametrize("scales", [1, 3, 5, 7])
def test_a_still_picture_leaves_the_box_alone(frame: np.ndarray, scales: int) -> None:
    pipeline = make_raw_pipeline(scales=scales)
    box = Box(100, 80, 50, 30)
    state = init(pipeline, [frame], [box], [0])
    boxes = []
    for _ in range(25):
        state, (result,) = step(pipeline, state, [frame])
        boxes.append(tuple(result.box))
    assert boxes[-1] == pytest.approx(tuple(box), abs=0.1)
    assert len(set(boxes[5:])) == 1  # nor does it wander by a little a frame


def test_a_growing_target_is_followed(rng: np.random.Generator) -> None:
    from dcfnet_evaluation.rendered import paste

    pipeline = make_raw_pipeline(scales=5, learning_rate=0.05)
    scene, texture = noise_texture(rng, 240, 320), noise_texture(rng, 80, 80, contrast=90)

    def draw(side: float) -> np.ndarray:
        picture = scene.copy()
        paste(picture, texture, np.ones((80, 80), np.float32), Box.of((160, 120), (side, side)))
        return picture

    state = init(pipeline, [draw(40)], [Box.of((160, 120), (40, 40))], [0])
    for t in range(1, 31):
        state, (result,) = step(pipeline, state, [draw(40 * 1.015**t)])
    assert result.box.w > 48  # raw pixels lag behind, but a size that never grew would stay at 40
    assert result.box.iou(Box.of((160, 120), (40 * 1.015**30,) * 2)) > 0.6


def test_a_rendered_target_is_tracked(raw_pipeline: Pipeline, clip: Clip) -> None:
    frames = list(clip)
    state = init(raw_pipeline, [frames[0][0]], [frames[0][1]], [0])
    overlaps = []
    for frame, truth in frames[1:]:
        state, (result,) = step(raw_pipeline, state, [frame])
        overlaps.append(result.box.iou(truth))
    assert np.mean(overlaps) > 0.7


def test_many_targets_of_two_cameras_are_one_batch(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    other = frame[::-1].copy()
    boxes, sources = [Box(60, 60, 40, 40), Box(200, 100, 30, 50), Box(90, 140, 50, 30)], [0, 1, 0]
    together = init(raw_pipeline, [frame, other], boxes, sources)
    alone = [init(raw_pipeline, [(frame, other)[s]], [b], [0]) for b, s in zip(boxes, sources, strict=True)]
    for t in range(1, 4):
        pictures = [moved(frame, 3 * t, -2 * t), moved(other, -4 * t, t)]
        together, results = step(raw_pipeline, together, pictures)
        for i, source in enumerate(sources):
            alone[i], (single,) = step(raw_pipeline, alone[i], [pictures[source]])
            assert tuple(results[i].box) == pytest.approx(tuple(single.box), abs=1e-6)


def test_a_rejected_frame_moves_no_bit_of_the_state(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    state = init(raw_pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    bad_frames: list[Any] = [None, np.zeros_like(frame), frame[:0], frame.astype(np.float64), "frame", 7]
    bad_frames += [np.zeros((480, 640, 3), np.uint8), frame[:12, :20].copy(), frame[:2, :3].copy()]  # other sizes
    for bad in bad_frames:
        after, (result,) = step(raw_pipeline, state, [bad])
        assert result.status is Status.LOST
        assert np.isfinite(tuple(result.box)).all()
        for name, array in bits(state).items():
            assert np.array_equal(bits(after)[name], array), name
    _, (result,) = step(raw_pipeline, state, [frame])
    assert tuple(result.box) == pytest.approx((100, 80, 50, 30), abs=0.1)


def test_a_target_that_leaves_a_textured_picture_waits_at_the_border(frame: np.ndarray) -> None:
    pipeline = make_raw_pipeline(scales=1, min_psr=0.0, background_penalty=0.0)  # the scene, moving as one, leads
    scene = np.concatenate([noise_texture(np.random.default_rng(5), 240, 320), frame], axis=1)
    state = init(pipeline, [scene[:, 320:]], [Box(220, 100, 40, 40)], [0])
    for left in range(310, 220, -8):  # the camera turns away: the target goes out on the right
        state, (result,) = step(pipeline, state, [np.ascontiguousarray(scene[:, left : left + 320])])
    assert (result.status, result.reason) == (Status.LOST, Reason.OUT_OF_VIEW)
    assert result.box.centre[0] == pytest.approx(319)


def test_a_target_that_outgrows_its_limit_says_so(rng: np.random.Generator) -> None:
    pipeline = make_raw_pipeline(scales=5, max_scale=1.1)
    texture = noise_texture(rng, 100, 100)
    frames = [np.asarray(cv2.resize(texture, (side, side)), np.uint8) for side in range(200, 320, 8)]
    frames = [np.pad(f, ((0, 400 - len(f)), (0, 400 - len(f)), (0, 0)), mode="wrap") for f in frames]
    state = init(pipeline, [frames[0]], [Box(60, 60, 80, 80)], [0])
    reasons = set()
    for grown in frames[1:]:
        state, (result,) = step(pipeline, state, [grown])
        reasons.add(result.reason)
        assert result.box.w <= 80 * 1.1 + 1e-6
    assert Reason.SCALE_LIMIT in reasons


def test_more_patches_than_the_backend_takes_at_once_go_in_turns(frame: np.ndarray) -> None:
    pipeline, backbone = counting_pipeline(scales=1)
    at_once = pipeline.backend.patches_at_once
    boxes = [Box(20 + 12 * i, 30 + 8 * i, 40, 40) for i in range(at_once * 3 + 1)]
    state = init(pipeline, [frame], boxes, [0] * len(boxes))
    state, results = step(pipeline, state, [frame])
    assert max(backbone.calls) <= at_once
    assert sum(backbone.calls) == 3 * len(boxes)  # to start, to look, to learn
    assert len(state) == len(results) == len(boxes)
    for result, box in zip(results, boxes, strict=True):
        assert tuple(result.box) == pytest.approx(tuple(box), abs=0.1)


def test_one_target_out_of_sight_does_not_touch_the_others(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    boxes = [Box(60, 60, 40, 40), Box(200, 100, 30, 50)]
    state = init(raw_pipeline, [frame, frame], boxes, [0, 1])
    state, results = step(raw_pipeline, state, [None, moved(frame, 5, 0)])
    assert (results[0].reason, results[1].reason) == (Reason.NO_FRAME, Reason.FOUND)
    assert tuple(results[0].box) == tuple(boxes[0])
    assert results[1].box.x == pytest.approx(205, abs=0.4)


def test_a_target_under_the_gate_is_lost_and_nothing_is_learnt(frame: np.ndarray, rng: np.random.Generator) -> None:
    pipeline = make_raw_pipeline(min_psr=8.0)
    state = init(pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    after, (result,) = step(pipeline, state, [noise_texture(rng, 240, 320)])
    assert (result.status, result.reason) == (Status.LOST, Reason.LOW_PSR)
    assert tuple(result.box) == pytest.approx((100, 80, 50, 30))
    assert np.array_equal(after.filters.arrays.numerator, state.filters.arrays.numerator)
    _, (found,) = step(pipeline, after, [frame])
    assert found.status is Status.TRACKED


def test_features_of_half_the_resolution_give_shifts_in_the_same_pixels(frame: np.ndarray) -> None:
    from dcfnet.cpu import CpuBackend

    full = make_raw_pipeline(scales=1)

    def halved(patches: np.ndarray) -> np.ndarray:
        return patches.reshape(*patches.shape[:2], 32, 2, 32, 2).mean(axis=(3, 5)).astype(np.float32)

    pipeline = Pipeline.build(full.config, CpuBackend(), halved, full.mean, stride=2)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    _, (result,) = step(pipeline, state, [moved(frame, -8, 5)])
    assert tuple(result.box) == pytest.approx((132, 105, 40, 40), abs=0.6)


class CountingPatches:
    """The identity for a network, which notes how many patches every call brings."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        self.calls.append(len(patches))
        return patches


def counting_pipeline(**changes: object) -> tuple[Pipeline, CountingPatches]:
    backbone = CountingPatches()
    return dataclasses.replace(make_raw_pipeline(**changes), backbone=backbone), backbone


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[3, 1]] * 8),
        ({"learn_every": 2}, [[3], [3, 1]] * 4),
        ({"learn_every": 3, "scales": 1}, [[1], [1], [1, 1], [1], [1], [1, 1], [1], [1]]),
    ],
)
def test_lessons_come_in_their_frames(frame: np.ndarray, changes: dict[str, int], expected: list[list[int]]) -> None:
    pipeline, backbone = counting_pipeline(**changes)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    asked = []
    for _ in range(8):
        backbone.calls.clear()
        state, (result,) = step(pipeline, state, [frame])
        asked.append(list(backbone.calls))
        assert result.status is Status.TRACKED
    assert asked == expected


def test_a_frame_that_is_rejected_is_not_counted(frame: np.ndarray) -> None:
    pipeline, backbone = counting_pipeline(learn_every=2)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    state, _ = step(pipeline, state, [frame])
    state, (result,) = step(pipeline, state, [None])
    assert result.status is Status.LOST
    backbone.calls.clear()
    step(pipeline, state, [frame])
    assert backbone.calls == [3, 1]


def test_targets_of_different_ages_keep_their_places(frame: np.ndarray) -> None:
    """One learns while another does not: each goes its way, exactly as it would alone."""
    pipeline = make_raw_pipeline(learn_every=2)
    boxes = [Box(60, 60, 40, 40), Box(140, 100, 40, 30), Box(200, 150, 30, 40), Box(90, 150, 36, 36)]
    alone = [init(pipeline, [frame], [box], [0]) for box in boxes]
    ages = [3, 0, 2, 1]
    for i, age in enumerate(ages):
        for _ in range(age):
            alone[i], _ = step(pipeline, alone[i], [frame])
    together = type(alone[0]).joined(alone)
    for t in range(1, 5):
        shown = moved(frame, 2 * t, -t)
        together, results = step(pipeline, together, [shown])
        for i, state in enumerate(alone):
            alone[i], (expected,) = step(pipeline, state, [shown])
            assert tuple(results[i].box) == pytest.approx(tuple(expected.box), abs=1e-4)
    assert together.updates.tolist() == [age + 4 for age in ages]
