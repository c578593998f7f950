"""The setting `rotation_step`: targets that turn in the image plane."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet import Box, ConfigError, MultiTracker, Tracker
from dcfnet.config import TrackerConfig
from dcfnet.tracking import rotation
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import PendingDetection
from dcfnet.tracking.state import TrackState
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
    assert angle_of(tracker) == pytest.approx(90, abs=2 * STEP + 0.1)
    assert max(distances(tracker, scene, range(16, 61))) < 3
    assert abs(angle_of(tracker)) < 2 * STEP + 0.1  # 360 degrees
    assert max(distances(started(scene, 0.0), scene, range(1, 61))) > SIDE


def test_a_target_that_does_not_turn_keeps_its_angle(scene: Image) -> None:
    tracker = started(scene, STEP)
    for shift in range(1, 12):
        moved = np.roll(rolled(scene, 0)[0], (shift, 2 * shift), axis=(0, 1))
        noisy = np.clip(moved + np.random.default_rng(shift).normal(0, 4, moved.shape), 0, 255).astype(np.uint8)
        tracker.update(noisy)
    assert angle_of(tracker) == 0


class ScriptedSearches:
    """In place of the searches of `rotation.py`: their peaks, by side."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, frame: Image, box: Box) -> None:
        self.tracker = Tracker.of(make_raw_pipeline(scales=1, rotation_step=10.0))
        self.tracker.init(frame, box)
        self.frame, self.searches = frame, 0
        self._peaks: dict[int, float] = {}
        self._search = rotation.search
        monkeypatch.setattr(rotation, "search", self.search)
        assert self.tracker._state is not None
        self.state = self.tracker._state

    def search(self, pipeline: Pipeline, state: TrackState, *rest: Any) -> PendingDetection:
        found = self._search(pipeline, state, *rest)()
        side = int(np.sign(state.angle[0] - self.state.angle[0]))
        self.searches += 1
        peak = dataclasses.replace(found.peak, value=np.array([self._peaks[side]]), psr=np.array([20.0]))
        return lambda rows=None: dataclasses.replace(found, peak=peak)

    def angle_after(self, upright: float, clockwise: float, other: float, typical: float = 1.0) -> float:
        """Degrees, after a frame with these peaks."""
        self._peaks = {1: clockwise, -1: other}
        pipeline, frames = self.tracker._pipeline, {0: self.frame}
        typical_response = np.array([[20.0, typical, 1.0]])
        self.state = self.state.replace(typical=typical_response)
        found = self._search(pipeline, self.state, frames, pipeline.search_regions(self.state.size))()
        first = dataclasses.replace(found, peak=dataclasses.replace(found.peak, value=np.array([upright])))
        self.state, _ = rotation.search_turned(pipeline, self.state, frames, first)
        return round(float(np.degrees(self.state.angle[0])), 6)


@pytest.fixture
def scripted(scene: Image, monkeypatch: pytest.MonkeyPatch) -> ScriptedSearches:
    return ScriptedSearches(monkeypatch, *rolled(scene, 0))


def test_a_strong_peak_costs_no_search(scripted: ScriptedSearches) -> None:
    assert scripted.angle_after(0.9, 2, 2) == 0
    assert scripted.searches == 0


def test_a_target_turns_if_two_frames_show_the_same_side(scripted: ScriptedSearches) -> None:
    assert [scripted.angle_after(0.8, 0.9, 0.7), scripted.angle_after(0.95, 1.1, 0.7)] == [0, 10]
    assert scripted.searches == 4, "the second frame is searched although its peak is strong"


def test_two_sides_and_small_gains_turn_no_target(scripted: ScriptedSearches) -> None:
    peaks = [(0.8, 0.9, 0.7), (0.8, 0.7, 0.9), (0.8, 0.9, 0.7), (0.8, 0.85, 0.7), (0.8, 0.9, 0.7), (0.8, 0.7, 0.7)]
    assert {scripted.angle_after(*each) for each in peaks} == {0}


def turned_by(scripted: ScriptedSearches, steps: int) -> float:
    return [scripted.angle_after(0.8, 0.9, 0.7) for _ in range(steps + 1)][-1]


def test_a_target_that_turns_goes_on_with_small_gains_until_it_stops(scripted: ScriptedSearches) -> None:
    assert turned_by(scripted, 1) == 10
    gain, loss = (0.95, 0.99, 0.7), (0.95, 0.7, 0.7)
    assert [scripted.angle_after(*peaks) for peaks in (gain, loss, gain)] == [20, 20, 30]
    assert {scripted.angle_after(*loss) for _ in range(rotation.TURN_FRAMES)} == {30}
    assert {scripted.angle_after(*gain) for _ in range(4)} == {30}, "this gain is too small for a first turn"


def test_a_turned_target_comes_back_upright_with_small_gains_and_then_costs_no_search(
    scripted: ScriptedSearches,
) -> None:
    assert turned_by(scripted, 2) == 20
    assert {scripted.angle_after(1.0, 0.9, 0.9) for _ in range(2 * rotation.TURN_FRAMES)} == {20}
    back = (0.95, 0.7, 0.99)
    assert [scripted.angle_after(*back) for _ in range(3)] == [20, 10, 0]
    assert {scripted.angle_after(0.95, 0.9, 0.9) for _ in range(rotation.TURN_FRAMES)} == {0}
    searches = scripted.searches
    assert scripted.angle_after(0.95, 2.0, 2.0) == 0
    assert scripted.searches == searches


def test_targets_of_one_frame_turn_each_for_itself(scene: Image) -> None:
    """One target turns with its surroundings; the other one is in a part of the frame that does not turn."""
    tracker, alone = MultiTracker.of(make_raw_pipeline(scales=1, rotation_step=STEP)), started(scene, STEP)
    wide = [np.hstack([rolled(scene, index)[0], scene]) for index in range(16)]
    still = Box(scene.shape[1] + 40.0, 30.0, SIDE, SIDE)
    ids = [tracker.add(wide[0], still), tracker.add(wide[0], rolled(scene, 0)[1])]
    for index, frame in enumerate(wide[1:], 1):
        found, expected = tracker.update(frame), alone.update(rolled(scene, index)[0])
        np.testing.assert_allclose(tuple(found[ids[0]].box), tuple(still), atol=0.3)
        np.testing.assert_allclose(tuple(found[ids[1]].box), tuple(expected.box), atol=0.3)
    assert tracker._state is not None
    np.testing.assert_allclose(np.degrees(tracker._state.angle), (0, angle_of(alone)), atol=1e-6)
    assert angle_of(alone) > 60


@pytest.mark.parametrize(("turn", "size"), [(0, (32, 16)), (90, (16, 32)), (180, (32, 16)), (-45, (25.298, 25.298))])
def test_the_box_of_an_oblong_target_is_upright_around_it(scene: Image, turn: float, size: tuple[float, float]) -> None:
    tracker = Tracker.of(make_raw_pipeline(scales=1, rotation_step=STEP))
    tracker.init(scene, Box(60, 50, 32, 16))
    assert tracker._state is not None
    turned = tracker._state.replace(angle=np.radians([turn]))
    (box,) = turned.boxes()
    np.testing.assert_allclose(box.size, size, atol=1e-3)
    assert box.centre == Box(60, 50, 32, 16).centre
    np.testing.assert_allclose(turned.replace(size_angle=turned.angle).boxes()[0].size, (32, 16))


def test_the_box_of_a_detector_is_the_box_of_a_turned_target(scene: Image) -> None:
    tracker = started(scene, STEP)
    distances(tracker, scene, range(1, 10))
    frame, there = rolled(scene, 9)
    given = Box(*(np.array(there.centre) - (13.5, 9.5)), 28.0, 20.0)
    assert tracker.correct(frame, given).result is not None
    assert angle_of(tracker) > 20
    assert tracker.box is not None
    np.testing.assert_allclose(tuple(tracker.box), tuple(given), atol=1 / 16)
    following = tracker.update(frame).box
    np.testing.assert_allclose(following.size, given.size, rtol=0.2)


@pytest.mark.parametrize("way", [1, -1])
def test_half_a_turn_is_an_angle_of_a_state_file(scripted: ScriptedSearches, way: int) -> None:
    state = scripted.state.replace(angle=np.array([way * np.pi / 2]))
    assert np.abs(rotation._turned_angle(state, way * np.pi / 2)) <= np.pi


@pytest.mark.parametrize("way", [1, -1])
def test_a_saved_target_of_any_angle_and_side_is_restored(
    scene: Image, scripted: ScriptedSearches, tmp_path: Path, way: int
) -> None:
    """Of both sides, up to half a turn."""
    for step in range(1, 20):
        scripted.angle_after(0.8, *(0.9, 0.7)[::way])
        tracker = scripted.tracker
        tracker._replace_state(scripted.state)
        tracker.save(tmp_path / "state")
        tracker.restore(tmp_path / "state")
        assert tracker._state is not None
        assert int(tracker._state.turn_side[0]) == way
        assert abs(angle_of(tracker)) == pytest.approx(10 * (step - 1))
        scripted.state = tracker._state


def test_a_saved_target_goes_on_at_its_angle(scene: Image, tmp_path: Path) -> None:
    tracker = started(scene, STEP)
    distances(tracker, scene, range(1, 10))
    tracker.save(tmp_path / "state")
    other = Tracker.of(tracker._pipeline)
    other.restore(tmp_path / "state")
    assert angle_of(other) == angle_of(tracker) != 0
    for index in range(10, 14):
        assert other.update(rolled(scene, index)[0]) == tracker.update(rolled(scene, index)[0])


def test_the_default_model_follows_turns_and_the_fast_ones_do_not() -> None:
    assert Tracker(device="cpu").config.rotation_step == 10
    for others in (Tracker("dcfnet", device="cpu"), Tracker("deep", device="cpu", preset="fast")):
        assert others.config.rotation_step == 0


@pytest.mark.parametrize("step", [-1.0, 46.0])
def test_a_step_out_of_range_is_refused(step: float) -> None:
    with pytest.raises(ConfigError, match=r"rotation_step=.*: must be .* 45"):
        TrackerConfig(rotation_step=step)
