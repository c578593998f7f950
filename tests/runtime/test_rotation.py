"""The setting `rotation_step`: targets that turn in the image plane."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet import Box, ConfigError, Tracker
from dcfnet.config import TrackerConfig
from dcfnet_evaluation.rendered import Image, noise_texture

from tests.conftest import make_raw_pipeline

CENTRE, SIDE, STEP = (84.0, 60.0), 24.0, 6.0  # degrees per frame
OFFSET = 25.0  # px, of the target from the middle of the frame


@pytest.fixture(scope="module")
def scene() -> Image:
    rng = np.random.default_rng(11)
    return np.asarray(cv2.resize(noise_texture(rng, 30, 42), (168, 120), interpolation=cv2.INTER_CUBIC))


def rolled(scene: Image, index: int) -> tuple[Image, Box]:
    """A frame of a camera that rolls, and the box: the target moves on a circle around the middle, and turns."""
    angle = STEP * index
    turn = cv2.getRotationMatrix2D(CENTRE, -angle, 1)  # OpenCV counts counter-clockwise
    frame = cv2.warpAffine(scene, turn, scene.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    x, y = turn @ (CENTRE[0] + OFFSET, CENTRE[1], 1)
    return np.asarray(frame), Box(x - (SIDE - 1) / 2, y - (SIDE - 1) / 2, SIDE, SIDE)


def started(scene: Image, step: float, **changes: object) -> Tracker:
    tracker = Tracker.of(make_raw_pipeline(scales=1, rotation_step=step, **changes))
    tracker.init(*rolled(scene, 0))
    return tracker


def distances(tracker: Tracker, scene: Image, frames: range) -> list[float]:
    """Between the centres of the box and of the target, px."""
    found = []
    for index in frames:
        frame, true = rolled(scene, index)
        found.append(float(np.hypot(*np.subtract(tracker.update(frame).box.centre, true.centre))))
    return found


def angle_of(tracker: Tracker) -> float:
    """Degrees by which the tracker has turned its patches."""
    assert tracker._state is not None
    return float(np.degrees(tracker._state.angle[0]))


def test_a_target_of_a_rolling_camera_is_followed_for_a_whole_turn(scene: Image) -> None:
    tracker = started(scene, STEP)
    assert max(distances(tracker, scene, range(1, 16))) < 3
    assert angle_of(tracker) == pytest.approx(90, abs=STEP + 0.1)
    assert max(distances(tracker, scene, range(16, 61))) < 3
    assert abs(angle_of(tracker)) < STEP + 0.1  # 360 degrees
    assert max(distances(started(scene, 0.0), scene, range(1, 61))) > SIDE


def test_a_target_that_does_not_turn_keeps_its_angle(scene: Image) -> None:
    tracker = started(scene, STEP)
    for shift in range(1, 12):
        moved = np.roll(rolled(scene, 0)[0], (shift, 2 * shift), axis=(0, 1))
        noisy = np.clip(moved + np.random.default_rng(shift).normal(0, 4, moved.shape), 0, 255).astype(np.uint8)
        tracker.update(noisy)
    assert angle_of(tracker) == 0


def test_a_saved_target_goes_on_at_its_angle(scene: Image, tmp_path: Path) -> None:
    tracker = started(scene, STEP)
    distances(tracker, scene, range(1, 10))
    tracker.save(tmp_path / "state")
    other = Tracker.of(tracker._pipeline)
    other.restore(tmp_path / "state")
    assert angle_of(other) == angle_of(tracker) != 0
    for index in range(10, 14):
        assert other.update(rolled(scene, index)[0]) == tracker.update(rolled(scene, index)[0])


@pytest.mark.parametrize("step", [-1.0, 46.0])
def test_a_step_out_of_range_is_refused(step: float) -> None:
    with pytest.raises(ConfigError, match=r"rotation_step=.*: must be .* 45"):
        TrackerConfig(rotation_step=step)
