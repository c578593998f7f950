"""The setting `camera_motion`: search positions move with the scene, and the boxes of lost targets too."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import Box, ConfigError, MultiTracker, Nv12, Reason, Result, Rgb, Status, Tracker
from dcfnet.config import TrackerConfig
from dcfnet.tracking.camera_motion import read_scenes
from dcfnet.tracking.camera_motion.scenes import LARGEST_SHIFT, SCENE_SIDE, translations
from dcfnet_evaluation.rendered import Image, noise_texture

from tests.conftest import make_raw_pipeline
from tests.runtime.scenes import HEIGHT, WIDTH, render_target

MARGIN, SIDE = 60, 18  # px: of the scene around the frame, and of the target
PLACE = (150, 110)  # of the target in the frame, if the camera is at (0, 0)
JUMPS = [(0, 0), (40, -28), (-35, 30), (38, 34), (-40, -36), (0, 40), (45, -5), (-30, -30)]  # px, of the camera


@pytest.fixture(scope="module")
def scene() -> Image:
    """A scene that is larger than the frame, with a small target in it."""
    rng = np.random.default_rng(3)
    size = (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
    large = cv2.resize(noise_texture(rng, 8, 10), size[::-1], interpolation=cv2.INTER_CUBIC)
    whole = cv2.addWeighted(large, 0.6, noise_texture(rng, *size), 0.4, 0)
    left, top = PLACE[0] + MARGIN, PLACE[1] + MARGIN
    whole[top : top + SIDE, left : left + SIDE] = noise_texture(rng, SIDE, SIDE, contrast=110)
    return np.asarray(whole)


def seen(scene: Image, camera: tuple[int, int]) -> Image:
    """The frame of a camera at this position."""
    x, y = MARGIN + camera[0], MARGIN + camera[1]
    return scene[y : y + HEIGHT, x : x + WIDTH].copy()


def box_in(camera: tuple[int, int]) -> Box:
    """The true box in the frame of a camera at this position."""
    return Box(float(PLACE[0] - camera[0]), float(PLACE[1] - camera[1]), SIDE, SIDE)


def started(scene: Image, on: bool = True, **changes: Any) -> Tracker:
    """A tracker on raw pixels that has seen the target twice."""
    tracker = Tracker.of(make_raw_pipeline(camera_motion=on, **changes))
    tracker.init(seen(scene, (0, 0)), box_in((0, 0)))
    tracker.update(seen(scene, (0, 0)))
    return tracker


def without_target(scene: Image) -> Image:
    """The scene, the target covered by a part of the scene."""
    covered, (left, top) = scene.copy(), (PLACE[0] + MARGIN, PLACE[1] + MARGIN)
    covered[top - 9 : top + 27, left - 9 : left + 27] = cv2.GaussianBlur(scene, (0, 0), 25)[:36, :36]
    return covered


def assert_at(result: Result, camera: tuple[int, int], overlap: float = 0.7) -> None:
    assert result.box.iou(box_in(camera)) > overlap, (result, box_in(camera))


def test_a_small_target_is_tracked_through_strong_shake(scene: Image) -> None:
    on, off = started(scene), started(scene, on=False)
    for camera in JUMPS:
        result = on.update(seen(scene, camera))
        assert result.status is Status.TRACKED
        assert_at(result, camera)
        missed = off.update(seen(scene, camera))
    assert missed.box.iou(box_in(JUMPS[-1])) < 0.1  # otherwise this test would show nothing


@pytest.mark.parametrize("model", ["deep", "dcfnet"])
def test_the_shipped_models_have_the_setting(scene: Image, model: str) -> None:
    tracker = Tracker(model, "cpu", {"camera_motion": True})
    tracker.init(seen(scene, (0, 0)), box_in((0, 0)))
    for camera in JUMPS:
        assert_at(tracker.update(seen(scene, camera)), camera, 0.5)


def test_a_camera_that_follows_its_target_does_not_lose_it(scene: Image) -> None:
    """The target stays in place in the frame, and the scene moves by more than the target's size per frame."""
    target = seen(scene, (0, 0))[PLACE[1] : PLACE[1] + SIDE, PLACE[0] : PLACE[0] + SIDE]
    background, tracker = without_target(scene), started(scene)
    for x in range(0, 60, 12):
        frame = seen(background, (x, 0))
        frame[PLACE[1] : PLACE[1] + SIDE, PLACE[0] : PLACE[0] + SIDE] = target
        result = tracker.update(frame)
        assert result.status is Status.TRACKED
        assert_at(result, (0, 0))


@pytest.mark.parametrize("follows", [True, False])
def test_a_target_in_a_flat_part_of_the_scene_is_not_rejected(scene: Image, follows: bool) -> None:
    """The road beside the target has one colour. The camera follows the target, or it shakes."""
    road, target = scene.copy(), render_target(4)[:SIDE, :SIDE]
    road[MARGIN + PLACE[1] - 20 : MARGIN + PLACE[1] + SIDE + 20] = 110
    tracker = Tracker.of(make_raw_pipeline(camera_motion=True))
    for x in (-60, 0, 60):
        frame, true = seen(road, (x, 0)), box_in((0 if follows else x, 0))
        frame[PLACE[1] : PLACE[1] + SIDE, int(true.x) : int(true.x) + SIDE] = target
        if x == -60:
            tracker.init(frame, true)
        result = tracker.update(frame)
        assert result.status is Status.TRACKED
        assert result.box.iou(true) > 0.7


def test_the_box_of_a_hidden_target_moves_with_the_scene(scene: Image) -> None:
    tracker, hidden = started(scene, redetection_rings=0), without_target(scene)
    for camera in JUMPS:
        result = tracker.update(seen(hidden, camera))
        assert result.status is Status.LOST
        assert_at(result, camera, 0.6)
    result = tracker.update(seen(scene, (30, 30)))
    assert result.status is Status.TRACKED
    assert_at(result, (30, 30))


def test_rejected_frames_in_between_do_not_count(scene: Image) -> None:
    """The motion is measured from the last frame in which the target was searched for."""
    tracker = started(scene)
    tracker.update(seen(scene, (10, 0)))
    for bad in (None, np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((4, 4, 2), np.uint8)):
        before = tracker.box
        assert tracker.update(bad).status is not Status.TRACKED
        assert tracker.box == before
    assert_at(tracker.update(seen(scene, (50, 30))), (50, 30))


def test_frozen_frames_and_other_frame_sizes(scene: Image) -> None:
    tracker, off = started(scene), started(scene, on=False)
    for _ in range(2):
        assert tracker.update(seen(scene, (0, 0))) == off.update(seen(scene, (0, 0)))
    half = cv2.resize(seen(scene, (0, 0)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    result = tracker.update(half)
    assert result.reason is Reason.RESOLUTION_CHANGED
    smaller = Box(*(side / 2 for side in box_in((0, 0))))
    assert result.box.iou(smaller) > 0.5
    assert tracker.update(half).box.iou(smaller) > 0.5
    tiny = np.ascontiguousarray(half[:24, :24])
    assert np.isfinite(tuple(tracker.update(tiny).box)).all()


def test_each_camera_has_its_own_motion_which_is_measured_once(scene: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    many, alone = MultiTracker.of(make_raw_pipeline(camera_motion=True)), started(scene)
    frame = seen(scene, (0, 0))
    ids = [many.add(frame, box_in((0, 0)), source) for source in (5, 5, -2)]
    many.update({5: frame, -2: frame})
    calls, measure = [], cv2.phaseCorrelate

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return measure(*arguments)

    for camera, other in zip(JUMPS, JUMPS[::-1], strict=True):
        monkeypatch.setattr(cv2, "phaseCorrelate", counted)
        results = many.update({5: seen(scene, camera), -2: seen(scene, other)})
        monkeypatch.undo()
        assert results[ids[0]] == results[ids[1]] == alone.update(seen(scene, camera))
        assert_at(results[ids[2]], other)
    assert len(calls) == 2 * len(JUMPS) - 1  # the first frame of source 5 equals the one before


@pytest.mark.parametrize("on", [True, False])
def test_the_texture_around_a_target_is_checked_once_in_a_frame(
    scene: Image, monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    tracker = started(scene, on)
    checks, backend = [], type(tracker._pipeline.backend)
    check = backend.check_texture

    def counted(*arguments: Any) -> Any:
        checks.append(1)
        return check(*arguments)

    monkeypatch.setattr(backend, "check_texture", counted)
    tracker.update(seen(scene, (2, 1)))
    assert len(checks) == 1


def test_a_correction_counts_from_its_own_frame(scene: Image) -> None:
    tracker = started(scene)
    assert tracker.correct(seen(scene, (-14, 8)), box_in((-14, 8))).taken == 0
    result = tracker.update(seen(without_target(scene), (30, -15)))
    assert result.status is Status.LOST
    assert_at(result, (30, -15), 0.6)


def test_state_files_and_copies_contain_the_scene(scene: Image, tmp_path: Path) -> None:
    tracker, restored = started(scene), Tracker.of(make_raw_pipeline(camera_motion=True))
    tracker.save(tmp_path / "target.state")
    restored.restore(tmp_path / "target.state")
    twin = copy(tracker)
    for camera in JUMPS[1:4]:
        results = [each.update(seen(scene, camera)) for each in (tracker, restored, twin)]
        assert results[0] == results[1] == results[2]
        assert_at(results[0], camera)


def test_without_the_setting_nothing_is_measured_or_stored(scene: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "phaseCorrelate", None)
    tracker = started(scene, on=False)
    tracker.update(seen(scene, (3, 2)))
    assert tracker._state is not None
    assert tracker._state.scenes.shape == (1, 0, 0)
    assert not any(TrackerConfig.named(name).camera_motion for name in ("default", "paper", "released"))


@pytest.mark.parametrize("value", [1, "yes", None])
def test_other_values_raise(value: Any) -> None:
    with pytest.raises(ConfigError, match=f"camera_motion={value!r}: must be true or false"):
        TrackerConfig(camera_motion=value)


def forms(frame: Image) -> dict[str, Any]:
    """A frame in all pixel formats."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    alpha = np.random.default_rng(0).integers(0, 256, frame.shape[:2], np.uint8)
    colourless = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    return {
        "BGR": frame,
        "BGRA": np.dstack([frame, alpha]),
        "grey": grey,
        "one channel": grey[..., None],
        "Rgb": Rgb(frame[..., ::-1]),
        "Nv12": Nv12(grey, colourless),
    }


@pytest.mark.parametrize("form", ["BGR", "BGRA", "grey", "one channel", "Rgb", "Nv12"])
def test_the_translation_is_the_shift_of_the_scene(scene: Image, form: str) -> None:
    pipeline, size = make_raw_pipeline(camera_motion=True), np.array([WIDTH, HEIGHT])
    for camera in JUMPS[1:]:
        frames = [pipeline.backend.frame(forms(seen(scene, position))[form]) for position in ((0, 0), camera)]
        before, after = read_scenes(pipeline, frames, np.array([0, 1]))
        (found,) = translations(before[None], after[None]) * size
        np.testing.assert_allclose(found, [-camera[0], -camera[1]], atol=1.5)


def test_unreliable_measurements_move_nothing(rng: np.random.Generator) -> None:
    shape = (1, SCENE_SIDE, SCENE_SIDE)
    noise, other = (rng.integers(0, 256, shape, np.uint8) for _ in range(2))
    unknown, flat = np.zeros(shape, np.uint8), np.full(shape, 90, np.uint8)
    for before, after in ((noise, other), (unknown, noise), (noise, unknown), (noise, flat), (flat, flat + 5)):
        np.testing.assert_allclose(translations(before, after), 0, atol=1e-6)
    far = np.roll(noise, round(SCENE_SIDE * LARGEST_SHIFT) + 4, axis=2)
    np.testing.assert_array_equal(translations(noise, far), 0)
