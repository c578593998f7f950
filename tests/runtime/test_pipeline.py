"""The tracking steps on raw pixels, without a network, for one target and for many."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.config import NEVER
from dcfnet.result import Box, Reason, Status
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init, step
from dcfnet_evaluation.rendered import Clip, noise_texture

from tests.conftest import make_raw_pipeline


def all_arrays(state: TrackState) -> dict[str, np.ndarray]:
    """All arrays of a state, by name."""
    return {name: value for name, value in vars(state).items() if name != "filters"} | vars(state.filters.arrays)


def shifted(frame: np.ndarray, dx: int, dy: int) -> np.ndarray:
    return np.roll(frame, (dy, dx), axis=(0, 1))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (6, 0), (0, 6), (-9, 4), (12, -11)])
@pytest.mark.parametrize("size", [(40, 40), (24, 60), (70, 30)])
def test_a_shifted_frame_shifts_the_box_by_the_same_amount(
    frame: np.ndarray, dx: int, dy: int, size: tuple[int, int]
) -> None:
    """Width and height are not swapped, and the shift has the scale of the crop."""
    raw_pipeline = make_raw_pipeline(scales=1)
    box = Box.of((160, 120), size)
    state = init(raw_pipeline, [frame], [box], [0])
    _, (result,) = step(raw_pipeline, state, [shifted(frame, dx, dy)])
    assert result.status is Status.TRACKED
    assert tuple(result.box) == pytest.approx(
        (box.x + dx, box.y + dy, box.w, box.h), abs=0.6
    )  # the cosine window pulls the peak slightly


@pytest.mark.parametrize(("dx", "dy"), [(20, 0), (0, -24), (-22, 22)])
def test_a_target_that_moved_far_is_searched_again_from_its_new_position(frame: np.ndarray, dx: int, dy: int) -> None:
    """Half a target size away, the cosine window suppresses the target: the peak is low and about 1 px off."""
    box = Box(140, 100, 40, 40)
    results = {}
    for distance in (0.25, NEVER):
        pipeline = make_raw_pipeline(scales=1, second_pass_distance=distance)
        state = init(pipeline, [frame], [box], [0])
        _, (results[distance],) = step(pipeline, state, [shifted(frame, dx, dy)])
    first, second = results[NEVER], results[0.25]
    assert tuple(second.box) == pytest.approx((box.x + dx, box.y + dy, 40, 40), abs=0.15)
    assert abs(first.box.x - box.x - dx) + abs(first.box.y - box.y - dy) > 0.3
    assert second.peak > 1.1 * first.peak


def test_a_detection_is_confident_only_if_all_search_passes_are(frame: np.ndarray) -> None:
    """The lowest PSR of the passes decides the status. The box follows the pass with the higher peak."""
    box, found = Box(140, 100, 40, 40), {}
    for distance in (0.25, NEVER):
        pipeline = make_raw_pipeline(scales=1, second_pass_distance=distance)
        _, (found[distance],) = step(pipeline, init(pipeline, [frame], [box], [0]), [shifted(frame, 24, 0)])
    assert found[0.25].psr == found[NEVER].psr  # the first pass has the lower PSR
    assert found[0.25].apce > 1.1 * found[NEVER].apce  # the second pass has the clearer peak
    above = 1.02 * found[NEVER].psr
    pipeline = make_raw_pipeline(scales=1, confident_psr=above, min_psr=above)
    _, (result,) = step(pipeline, init(pipeline, [frame], [box], [0]), [shifted(frame, 24, 0)])
    assert (result.status, result.reason) == (Status.UNCERTAIN, Reason.LOW_PSR)
    assert result.psr < above  # the value that the status was judged by
    assert result.box.x == pytest.approx(164, abs=0.1)


def test_only_targets_that_moved_far_have_a_second_search_pass(frame: np.ndarray) -> None:
    """Two targets in two cameras: three patches each, and three more for the target that moved far."""
    pipeline, boxes = make_raw_pipeline(update_interval=2), [Box(60, 60, 40, 40), Box(200, 100, 40, 40)]
    patches: list[int] = []

    def counting(batch: np.ndarray) -> np.ndarray:
        patches.append(len(batch))
        return batch

    object.__setattr__(pipeline, "backbone", counting)
    state = init(pipeline, [frame, frame], boxes, [0, 1])
    for dx, expected in ((4, 6), (24, 9)):
        copy, _ = state.take(np.arange(2)).replace(), patches.clear()
        step(pipeline, copy, [frame, shifted(frame, dx, 0)])
        assert sum(patches) == expected


@pytest.mark.parametrize("scales", [1, 3, 5, 7])
def test_the_box_does_not_move_in_a_still_video(frame: np.ndarray, scales: int) -> None:
    pipeline = make_raw_pipeline(scales=scales)
    box = Box(100, 80, 50, 30)
    state = init(pipeline, [frame], [box], [0])
    boxes = []
    for _ in range(25):
        state, (result,) = step(pipeline, state, [frame])
        boxes.append(tuple(result.box))
    assert boxes[-1] == pytest.approx(tuple(box), abs=0.1)
    assert len(set(boxes[5:])) == 1  # it does not drift either


def test_the_box_grows_with_the_target(rng: np.random.Generator) -> None:
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
    assert result.box.w > 48  # raw pixels lag behind, but a box that never grows stays at 40 px
    assert result.box.iou(Box.of((160, 120), (40 * 1.015**30,) * 2)) > 0.6


def test_a_rendered_target_is_tracked(raw_pipeline: Pipeline, clip: Clip) -> None:
    frames = list(clip)
    state = init(raw_pipeline, [frames[0][0]], [frames[0][1]], [0])
    overlaps = []
    for frame, truth in frames[1:]:
        state, (result,) = step(raw_pipeline, state, [frame])
        overlaps.append(result.box.iou(truth))
    assert np.mean(overlaps) > 0.7


def test_a_batch_of_targets_in_two_cameras_gives_the_boxes_of_single_targets(
    raw_pipeline: Pipeline, frame: np.ndarray
) -> None:
    other = frame[::-1].copy()
    boxes, sources = [Box(60, 60, 40, 40), Box(200, 100, 30, 50), Box(90, 140, 50, 30)], [0, 1, 0]
    together = init(raw_pipeline, [frame, other], boxes, sources)
    alone = [init(raw_pipeline, [(frame, other)[s]], [b], [0]) for b, s in zip(boxes, sources, strict=True)]
    for t in range(1, 4):
        frames = [shifted(frame, 3 * t, -2 * t), shifted(other, -4 * t, t)]
        together, results = step(raw_pipeline, together, frames)
        for i, source in enumerate(sources):
            alone[i], (single,) = step(raw_pipeline, alone[i], [frames[source]])
            assert tuple(results[i].box) == pytest.approx(tuple(single.box), abs=1e-6)


def test_a_rejected_frame_does_not_change_the_state(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    state = init(raw_pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    bad_frames: list[Any] = [None, np.zeros_like(frame), frame[:0], frame.astype(np.float64), object()]
    bad_frames += [np.zeros((480, 640, 3), np.uint8), frame[:12, :20].copy(), frame[:2, :3].copy()]  # other sizes
    for bad in bad_frames:
        after, (result,) = step(raw_pipeline, state, [bad])
        assert result.status is Status.LOST
        assert np.isfinite(tuple(result.box)).all()
        for name, array in all_arrays(state).items():
            assert np.array_equal(all_arrays(after)[name], array), name
    _, (result,) = step(raw_pipeline, state, [frame])
    assert tuple(result.box) == pytest.approx((100, 80, 50, 30), abs=0.1)


def test_the_box_of_a_target_that_leaves_the_frame_stays_at_the_border(frame: np.ndarray) -> None:
    pipeline = make_raw_pipeline(
        scales=1, min_psr=0.0, background_penalty=0.0
    )  # the whole scene moves, so the background guides the box
    scene = np.concatenate([noise_texture(np.random.default_rng(5), 240, 320), frame], axis=1)
    state = init(pipeline, [scene[:, 320:]], [Box(220, 100, 40, 40)], [0])
    for left in range(310, 220, -8):  # the camera pans: the target leaves on the right
        state, (result,) = step(pipeline, state, [np.ascontiguousarray(scene[:, left : left + 320])])
    assert (result.status, result.reason) == (Status.LOST, Reason.OUT_OF_VIEW)
    assert result.box.centre[0] == pytest.approx(319)


def test_a_size_at_its_limit_has_the_reason_scale_limit(rng: np.random.Generator) -> None:
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


def test_patches_beyond_the_limit_per_call_are_processed_in_several_calls(frame: np.ndarray) -> None:
    pipeline, backbone = counting_pipeline(scales=1)
    limit = pipeline.backend.patches_per_call
    boxes = [Box(20 + 12 * i, 30 + 8 * i, 40, 40) for i in range(limit * 3 + 1)]
    state = init(pipeline, [frame], boxes, [0] * len(boxes))
    state, results = step(pipeline, state, [frame])
    assert max(backbone.calls) <= limit
    assert sum(backbone.calls) == 3 * len(boxes)  # first filter, search, update
    assert len(state) == len(results) == len(boxes)
    for result, box in zip(results, boxes, strict=True):
        assert tuple(result.box) == pytest.approx(tuple(box), abs=0.1)


def test_a_missing_frame_of_one_camera_does_not_change_other_targets(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    boxes = [Box(60, 60, 40, 40), Box(200, 100, 30, 50)]
    state = init(raw_pipeline, [frame, frame], boxes, [0, 1])
    state, results = step(raw_pipeline, state, [None, shifted(frame, 5, 0)])
    assert (results[0].reason, results[1].reason) == (Reason.NO_FRAME, Reason.FOUND)
    assert tuple(results[0].box) == tuple(boxes[0])
    assert results[1].box.x == pytest.approx(205, abs=0.4)


def test_a_target_below_min_psr_is_lost_and_its_filter_is_not_updated(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    pipeline = make_raw_pipeline(min_psr=8.0)
    state = init(pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    after, (result,) = step(pipeline, state, [noise_texture(rng, 240, 320)])
    assert (result.status, result.reason) == (Status.LOST, Reason.LOW_PSR)
    assert tuple(result.box) == pytest.approx((100, 80, 50, 30))
    assert np.array_equal(after.filters.arrays.numerator, state.filters.arrays.numerator)
    _, (found,) = step(pipeline, after, [frame])
    assert found.status is Status.TRACKED


def test_features_with_stride_2_give_shifts_in_frame_pixels(frame: np.ndarray) -> None:
    from dcfnet.devices.cpu import CpuBackend

    full = make_raw_pipeline(scales=1)

    def halved(patches: np.ndarray) -> np.ndarray:
        return patches.reshape(*patches.shape[:2], 32, 2, 32, 2).mean(axis=(3, 5)).astype(np.float32)

    pipeline = Pipeline.build(full.config, CpuBackend(), halved, full.mean, stride=2)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    _, (result,) = step(pipeline, state, [shifted(frame, -8, 5)])
    assert tuple(result.box) == pytest.approx((132, 105, 40, 40), abs=0.6)


class CountingPatches:
    """The identity as a backbone, which counts the patches of each call."""

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
        ({"update_interval": 2}, [[3], [3, 1]] * 4),
        ({"update_interval": 3, "scales": 1}, [[1], [1], [1, 1], [1], [1], [1, 1], [1], [1]]),
    ],
)
def test_the_filter_is_updated_at_the_update_interval(
    frame: np.ndarray, changes: dict[str, int], expected: list[list[int]]
) -> None:
    pipeline, backbone = counting_pipeline(**changes)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    calls = []
    for _ in range(8):
        backbone.calls.clear()
        state, (result,) = step(pipeline, state, [frame])
        calls.append(list(backbone.calls))
        assert result.status is Status.TRACKED
    assert calls == expected


def test_a_rejected_frame_does_not_count_for_the_update_interval(frame: np.ndarray) -> None:
    pipeline, backbone = counting_pipeline(update_interval=2)
    state = init(pipeline, [frame], [Box(140, 100, 40, 40)], [0])
    state, _ = step(pipeline, state, [frame])
    state, (result,) = step(pipeline, state, [None])
    assert result.status is Status.LOST
    backbone.calls.clear()
    step(pipeline, state, [frame])
    assert backbone.calls == [3, 1]


def test_targets_of_different_ages_have_separate_update_counts(frame: np.ndarray) -> None:
    """In a batch, each target is updated in the same frames as alone."""
    pipeline = make_raw_pipeline(update_interval=2)
    boxes = [Box(60, 60, 40, 40), Box(140, 100, 40, 30), Box(200, 150, 30, 40), Box(90, 150, 36, 36)]
    alone = [init(pipeline, [frame], [box], [0]) for box in boxes]
    ages = [3, 0, 2, 1]
    for i, age in enumerate(ages):
        for _ in range(age):
            alone[i], _ = step(pipeline, alone[i], [frame])
    together = type(alone[0]).concatenate(alone)
    for t in range(1, 5):
        current = shifted(frame, 2 * t, -t)
        together, results = step(pipeline, together, [current])
        for i, state in enumerate(alone):
            alone[i], (expected,) = step(pipeline, state, [current])
            assert tuple(results[i].box) == pytest.approx(tuple(expected.box), abs=1e-4)
    assert together.updates.tolist() == [age + 4 for age in ages]
