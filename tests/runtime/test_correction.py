"""Correction: targets take the boxes of a detector, and only those that are theirs."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import Box, Corrections, MultiTracker, Reason, Status, Tracker
from dcfnet.errors import MissingDependencyError
from dcfnet.model.confidence import Confidence
from dcfnet.tracking.correction.association import NOT_TAKEN, assign
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.rendered import Image, noise_texture, paste

from tests.conftest import make_raw_pipeline

START = Box(60, 80, 40, 32)
FAR = Box(240, 150, 40, 32)


class Scene:
    """A still background with targets of different textures."""

    def __init__(self, targets: int = 3) -> None:
        rng = np.random.default_rng(5)
        self._background = noise_texture(rng, 240, 320, contrast=40)
        self._textures = [noise_texture(rng, 32, 40, contrast=90) for _ in range(targets)]

    def __call__(self, *boxes: Box | None) -> Image:
        """The frame with target k in boxes[k]; None: it is hidden."""
        frame = self._background.copy()
        for texture, box in zip(self._textures, boxes, strict=False):
            if box is not None:
                paste(frame, texture, np.ones(texture.shape[:2], np.float32), box)
        return frame


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def started(scene: Scene, pipeline: Pipeline | None = None) -> Tracker:
    """A tracker of target 0 at START, after two frames."""
    tracker = Tracker.of(pipeline or make_raw_pipeline())
    tracker.init(scene(START), START)
    for _ in range(2):
        assert tracker.update(scene(START)).status is Status.TRACKED
    return tracker


def many(scene: Scene, *boxes: Box, sources: tuple[int, ...] = ()) -> MultiTracker:
    """A tracker of target k at boxes[k], after two frames. The id of a target is its k."""
    tracker = MultiTracker.of(make_raw_pipeline())
    for index, box in enumerate(boxes):
        tracker.add(scene(*boxes), box, source=sources[index] if sources else 0)
    for _ in range(2):
        tracker.update(dict.fromkeys(sources or (0,), scene(*boxes)))
    return tracker


def arrays(tracker: Tracker | MultiTracker) -> dict[str, np.ndarray]:
    """A copy of all arrays of the state."""
    state = tracker._state
    assert state is not None
    return {name: value.copy() for name, value in (state.host_arrays() | state.filters.arrays.by_name()).items()}


def assert_unchanged(tracker: Tracker | MultiTracker, before: dict[str, np.ndarray], rows: Any = slice(None)) -> None:
    for name, value in arrays(tracker).items():
        np.testing.assert_array_equal(value[rows], before[name][rows], err_msg=name)


def shifted(box: Box, x: float, y: float = 0.0, factor: float = 1.0) -> Box:
    return Box.of((box.centre[0] + x, box.centre[1] + y), (box.w * factor, box.h * factor))


# --- what a correction does -----------------------------------------------------------------------------------------


def test_the_box_moves_to_the_detector_box(scene: Scene) -> None:
    tracker = started(scene)
    box = shifted(START, 6, -4, 1.25)
    done = tracker.correct(scene(START), box)
    assert (done.taken, done.left) == (0, ())
    assert done.result is not None
    assert (done.result.status, done.result.reason) == (Status.TRACKED, Reason.CORRECTED)
    assert done.result.box == tracker.box == pytest.approx(box, abs=1 / 32)
    assert done.result.psr > 5
    assert done.result.confidence is None


@pytest.mark.parametrize("weight", [0, 0.25, 1.0])
def test_the_weight_blends_position_and_size(scene: Scene, weight: float) -> None:
    tracker = started(scene)
    before, box = tracker.box, shifted(START, 8, 4, 1.5)
    tracker.correct(scene(START), [box], weight=weight)
    assert before is not None
    assert tracker.box is not None
    for name in ("centre", "size"):
        old, new = np.array(getattr(before, name)), np.array(getattr(box, name))
        np.testing.assert_allclose(getattr(tracker.box, name), old + weight * (new - old), atol=1 / 32)


def test_the_filter_is_blended_and_the_first_filter_stays(scene: Scene) -> None:
    tracker, other = started(scene), Tracker.of(make_raw_pipeline())
    before = arrays(tracker)
    frame, box = scene(START), shifted(START, 2, 1)
    tracker.correct(frame, box)
    other.init(frame, box)  # learns the same patch alone
    after, newest, rate = arrays(tracker), arrays(other), tracker.config.rate_per_update()
    for name in ("numerator", "denominator"):
        expected = (1 - rate) * before[name] + rate * newest[name]
        np.testing.assert_allclose(after[name], expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(after["first_f"], before["first_f"])
    assert not np.array_equal(after["colours"], before["colours"])


def test_the_last_confident_position_is_the_corrected_one(scene: Scene) -> None:
    tracker = started(scene)
    tracker.update(np.ascontiguousarray(scene()[::-1]))
    assert arrays(tracker)["frames_since_confident"][0] > 0
    tracker.correct(scene(START), START)
    state = arrays(tracker)
    assert state["frames_since_confident"][0] == 0
    np.testing.assert_array_equal(state["confident_centre"], state["centre"])
    np.testing.assert_array_equal(state["confident_size"], state["size"])


def test_the_size_limits_and_the_aspect_ratio_follow_the_detector_box(scene: Scene) -> None:
    """After a correction a target can grow by max_scale again, and keeps the new aspect ratio."""
    tracker = started(scene, make_raw_pipeline(min_scale=0.9, max_scale=1.1))
    wide = Box.of(START.centre, (52, 30))
    tracker.correct(scene(START), wide)
    assert tracker.box == pytest.approx(wide, abs=1 / 32)
    state = arrays(tracker)
    np.testing.assert_array_equal(state["initial_size"], state["size"])
    np.testing.assert_allclose(state["size_limits"], [[0.9, 1.1]])
    for factor in (1.1, 1.2, 1.3):
        box = tracker.update(scene(shifted(START, 0, 0, factor))).box
    assert box.w / box.h == pytest.approx(52 / 30)
    assert 52 * 0.9 - 1e-6 <= box.w <= 52 * 1.1 + 1e-6


def test_a_detector_box_in_a_frame_of_another_size_is_in_its_pixels(scene: Scene) -> None:
    tracker = started(scene)
    small = np.ascontiguousarray(scene(START)[::2, ::2])
    done = tracker.correct(small, [Box(*(value / 2 for value in START))])
    assert done.taken == 0
    assert tracker.update(small).box.iou(Box(*(value / 2 for value in START))) > 0.8
    np.testing.assert_array_equal(arrays(tracker)["frame_size"], [[160, 120]])


def test_the_result_after_a_correction_is_that_of_a_normal_update(scene: Scene) -> None:
    tracker = started(scene)
    tracker.correct(scene(START), shifted(START, 3))
    result = tracker.update(scene(shifted(START, 4)))
    assert (result.status, result.reason) == (Status.TRACKED, Reason.FOUND)


# --- which box a target takes ---------------------------------------------------------------------------------------


def test_a_lost_target_takes_its_box_at_any_distance(scene: Scene) -> None:
    """The boxes are those of another target, of the background and of the target itself, in this order."""
    tracker = started(scene)
    for _ in range(4):
        tracker.update(scene(None))
    frame, boxes = scene(FAR, Box(150, 30, 40, 32)), [Box(150, 30, 40, 32), Box(20, 190, 40, 32), FAR]
    assert tracker.update(frame).status is Status.LOST
    done = tracker.correct(frame, boxes, weight=0.1)  # the weight does not apply: halfway is not the target
    assert (done.taken, done.left) == (2, (0, 1))
    result = tracker.update(scene(shifted(FAR, 3)))
    assert result.status is Status.TRACKED
    assert result.box.iou(shifted(FAR, 3)) > 0.8


def test_a_lost_target_does_not_take_the_box_of_its_occluder(scene: Scene) -> None:
    tracker = started(scene)
    for _ in range(3):
        assert tracker.update(scene(None, START)).status is Status.LOST
    before = arrays(tracker)
    done = tracker.correct(scene(None, START), START)
    assert (done.result, done.taken, done.left) == (None, None, (0,))
    assert_unchanged(tracker, before)


def test_a_tracked_target_takes_no_box_far_away_and_no_box_of_another_size(scene: Scene) -> None:
    tracker = started(scene)
    before = arrays(tracker)
    frame = scene(START, FAR)
    done = tracker.correct(frame, [FAR, Box(0, 0, 320, 240), shifted(START, 39, 31)])
    assert (done.taken, done.left) == (None, (0, 1, 2))
    assert_unchanged(tracker, before)


def test_targets_without_a_box_do_not_change(scene: Scene) -> None:
    boxes = START, FAR
    tracker = many(scene, *boxes)
    before = arrays(tracker)
    done = tracker.correct(scene(*boxes), [shifted(FAR, 2)])
    assert (set(done.results), done.taken, done.left) == ({1}, {0: None, 1: 0}, {0: ()})
    assert_unchanged(tracker, before, rows=[0])
    assert tracker.targets[1] == pytest.approx(shifted(FAR, 2), abs=1 / 32)


def test_boxes_beyond_the_targets_are_left(scene: Scene) -> None:
    boxes = START, FAR
    tracker = many(scene, *boxes)
    given = [Box(10, 10, 30, 30), shifted(FAR, 1), Box(150, 20, 40, 40), shifted(START, 1)]
    done = tracker.correct(scene(*boxes), np.array(given))
    assert (done.taken, done.left) == ({0: 3, 1: 1}, {0: (0, 2)})
    assert set(done.results) == {0, 1}


def test_each_source_has_its_own_boxes(scene: Scene) -> None:
    """The targets are at one position in two cameras. A source without boxes has no entry, as without a frame."""
    tracker = many(scene, START, START, START, sources=(4, 7, 9))
    before, frame = arrays(tracker), scene(None, START)
    done = tracker.correct({4: frame, 7: frame, 9: frame}, {7: [shifted(START, 2)], 4: [], 5: []})
    assert (done.taken, done.left) == ({0: None, 1: 0}, {7: (), 4: (), 5: ()})
    assert_unchanged(tracker, before, rows=[0, 2])
    assert arrays(tracker)["source"].tolist() == [4, 7, 9]


def test_a_blank_frame_leaves_all_boxes(scene: Scene) -> None:
    tracker = started(scene)
    before = arrays(tracker)
    assert tracker.correct(np.zeros((240, 320, 3), np.uint8), START).left == (0,)
    assert_unchanged(tracker, before)


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        ([[0.0, 0.4, 0.9]], [2]),
        ([[0.0], [0.7], [0.6]], [NOT_TAKEN, 0, NOT_TAKEN]),
        ([[0.0, 0.0]], [NOT_TAKEN]),
        ([[0.9, 0.8], [0.8, 0.0]], [1, 0]),  # the best single pair is not part of the best assignment
        ([[0.9, 0.0], [0.8, 0.0]], [0, NOT_TAKEN]),
        ([[0.0, 0.0], [0.0, 0.0]], [NOT_TAKEN, NOT_TAKEN]),
    ],
)
def test_the_assignment_has_the_largest_sum_of_possible_pairs(affinity: Any, expected: list[int]) -> None:
    assert assign(np.array(affinity)).tolist() == expected


def test_only_several_targets_with_several_boxes_need_scipy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    monkeypatch.delitem(sys.modules, "dcfnet.tracking.correction.assignment", raising=False)
    tracker, frame = many(scene, START, FAR, START, sources=(0, 0, 1)), scene(START, FAR)
    assert tracker.correct(frame, [START]).taken == {0: 0, 1: None}
    assert started(scene).correct(frame, [FAR, START]).taken == 1
    before = arrays(tracker)
    with pytest.raises(MissingDependencyError, match=r"scipy is not installed.*pip install 'dcfnet\[detector\]'"):
        tracker.correct({1: frame, 0: frame}, {1: [START], 0: [START, FAR]})
    assert_unchanged(tracker, before)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_an_empty_list_changes_nothing(scene: Scene) -> None:
    tracker = started(scene)
    before = arrays(tracker)
    for empty in ([], (), np.zeros((0, 4))):
        assert tracker.correct(scene(START), empty) == dcfnet.Correction(None, None, ())
    assert_unchanged(tracker, before)


@pytest.mark.parametrize("as_given", [tuple, list, np.array, lambda box: [box], lambda box: np.array([box])])
def test_one_box_can_be_given_alone_or_in_a_list(scene: Scene, as_given: Any) -> None:
    assert started(scene).correct(scene(START), as_given(shifted(START, 1))).taken == 0


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([START, (1, 2, float("nan"), 4)], r"boxes\[1\]: box x=1, .*: every number must be finite"),
        ([(500, 20, 30, 30)], r"boxes\[0\]: .*less than one pixel of it is in the frame of 320 x 240 px"),
        ((500, 20, 30, 30), r"boxes\[0\]: .*less than one pixel"),
        ([(20, 20, 2, 30)], r"boxes\[0\]: .*width and height must be at least 3 px"),
        ([START, (1, 2, 3)], r"boxes\[1\]: .*the four numbers x, y, w, h"),
        ([None], r"boxes\[0\]: box None"),
        ("60,80,40,32", "boxes is a str: must be one box x, y, w, h or a list of boxes"),
        ({0: [START]}, "boxes is a dict: must be"),
        (None, "boxes is a NoneType: must be"),
        (np.float64(3), "boxes is a float64: must be"),
    ],
)
def test_an_invalid_box_raises_and_changes_nothing(scene: Scene, boxes: Any, message: str) -> None:
    tracker = started(scene)
    before = arrays(tracker)
    with pytest.raises(dcfnet.InvalidBoxError, match=message):
        tracker.correct(scene(START), boxes)
    assert_unchanged(tracker, before)


@pytest.mark.parametrize("frame", [None, np.zeros((240, 320, 3), np.float32), [np.zeros((240, 320, 3), np.uint8)]])
def test_an_invalid_frame_raises(scene: Scene, frame: Any) -> None:
    tracker = started(scene)
    before = arrays(tracker)
    with pytest.raises(dcfnet.InvalidFrameError, match="frame "):
        tracker.correct(frame, START)
    assert_unchanged(tracker, before)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), "1", None])
def test_an_invalid_weight_raises(scene: Scene, weight: Any) -> None:
    with pytest.raises(dcfnet.ConfigError, match=r"weight=.*: must be a number at least 0 and at most 1"):
        started(scene).correct(scene(START), START, weight=weight)


def test_a_correction_before_init_raises(scene: Scene) -> None:
    with pytest.raises(dcfnet.NotInitialisedError, match="correct before init"):
        Tracker.of(make_raw_pipeline()).correct(scene(START), START)


def test_a_multitracker_without_targets_leaves_all_boxes(scene: Scene) -> None:
    done = many(scene).correct({2: scene(START)}, {2: [START, FAR]})
    assert done == Corrections({}, {}, {2: (0, 1)})


@pytest.mark.parametrize(
    ("frames", "boxes", "error", "message"),
    [
        ([0], {0: [START], 3: [START]}, dcfnet.InvalidFrameError, r"boxes\[3\]: there is no frame of source 3, only"),
        ([0], {0: [START], "0": [START]}, dcfnet.InvalidBoxError, "boxes has the key '0': a key is the source"),
        ([0, 1], {0: [START], 1: [(9, 9, -1, 9)]}, dcfnet.InvalidBoxError, r"boxes\[1\]\[0\]: box x=9"),
        ([1], [START], dcfnet.InvalidFrameError, r"boxes: there is no frame of source 0, only of \[1\]"),
    ],
)
def test_an_error_in_one_source_changes_no_target(
    scene: Scene, frames: list[int], boxes: Any, error: type[Exception], message: str
) -> None:
    tracker = many(scene, START)
    before = arrays(tracker)
    with pytest.raises(error, match=message):
        tracker.correct(dict.fromkeys(frames, scene(START)), boxes)
    assert_unchanged(tracker, before)


# --- what it is for -------------------------------------------------------------------------------------------------


def test_a_target_that_enters_again_far_away_is_followed_within_ten_frames() -> None:
    """The default model. The target is hidden in frames 5 to 14; a detector gives all boxes every ten frames."""
    near = {"redetection_patches": 1}  # otherwise the tracker finds the target itself
    scene, tracker = Scene(), Tracker("deep", device="cpu", config=near, preset="fast")
    walker = Box(250, 40, 40, 32)

    def boxes(t: int) -> tuple[Box | None, Box]:
        target = shifted(START, 2 * t) if t < 5 else Box(180 + 2 * t, 190, 40, 32)
        return None if 5 <= t < 15 else target, shifted(walker, -t)

    tracker.init(scene(*boxes(0)), START)
    for t in range(1, 27):
        frame, (target, other) = scene(*boxes(t)), boxes(t)
        result = tracker.update(frame)
        if t == 20:
            alone = copy.copy(tracker)
            assert result.status is not Status.TRACKED
        if t % 10 == 0:
            done = tracker.correct(frame, [other] if target is None else [other, target])
            assert done.taken == (None if t < 15 else 1)
        if t > 20:
            assert target is not None
            assert result.status is Status.TRACKED
            assert result.box.iou(target) > 0.7
            assert alone.update(frame).box.iou(target) == 0


def test_two_look_alikes_that_cross_keep_their_ids() -> None:
    """The detector gives both boxes in any order. Without it both trackers follow the target in front."""
    scene = Scene(2)
    front, behind = scene._textures
    scene._textures = [(0.5 * front + 0.5 * behind).astype(np.uint8), front]

    def boxes(t: int) -> tuple[Box, Box]:
        return shifted(START, 110 - 4 * t, 4), shifted(START, 4 * t)

    corrected = many(scene, *boxes(0))
    for t in range(1, 23):
        frame = scene(*boxes(t))
        corrected.update(frame)
        if t == 10:
            alone = copy.copy(corrected)
        if t > 10:
            alone.update(frame)
        if t % 10 == 0:
            corrected.correct(frame, boxes(t) if t % 20 else boxes(t)[::-1])
    for id_, box in enumerate(boxes(22)):
        assert corrected.targets[id_].iou(box) > 0.7
    assert alone.targets[0].iou(boxes(22)[0]) < 0.1


def test_a_box_on_the_background_is_found_again_by_its_confidence(scene: Scene) -> None:
    """The box has drifted away and is confidently detected there, but the filter of the first frame does not fit."""
    tracker = Tracker("deep", device="cpu", preset="fast")
    tracker.init(scene(START), START)
    assert tracker._state is not None
    tracker._state = tracker._state.replace(centre=np.array([FAR.centre]))
    assert tracker.correct(scene(START), [START]).taken == 0
    assert tracker.update(scene(START)).box.iou(START) > 0.9


def test_the_confidence_of_a_correction_uses_the_typical_response_before_it(scene: Scene) -> None:
    """The target is half hidden: its response there is no part of the typical one that it is compared with."""
    fit = Confidence(-1.0, {"log_likeness": 1.0, "log_typical": 2.0})
    tracker = started(scene, dataclasses.replace(make_raw_pipeline(), confidence=fit))
    assert tracker._state is not None
    typical, frame = tracker._state.typical[0].copy(), scene(START)
    frame[80:112, 60:78] = 120
    result = tracker.correct(frame, START).result
    assert result is not None
    assert result.confidence is not None
    assert result.psr * result.peak * result.likeness < 0.8 * typical.prod()
    score = -1 + math.log(result.likeness) + 2 * math.log(typical.prod())
    assert result.confidence == pytest.approx(1 / (1 + math.exp(-score)), rel=1e-9)


def test_the_program_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "detectors.md").read_text()
    program = page.split("```python\n")[1].split("```")[0]
    exec(program, {})
    assert capsys.readouterr().out.splitlines() == [f"{index} 0 (1,)" for index in (10, 20, 30)]
