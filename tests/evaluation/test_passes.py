"""Passes: inputs and results of a tracker, and real-time passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.model.file import SHIPPED
from dcfnet.result import Box
from dcfnet.tracker import Tracker
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.passes import Failure, run_pass, run_passes
from dcfnet_evaluation.passes import single_pass as passes
from dcfnet_evaluation.passes.latency import run_against_clock
from dcfnet_evaluation.passes.protocols import PROTOCOLS, Start, sre, tre
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.scores.timing import timing
from dcfnet_evaluation.sequences import AnnotatedSequence, ImageFrames
from dcfnet_evaluation.trackers.stages import STAGES, ClockedTracker

from tests.evaluation.doubles import Failing, Identity, NeverStarts, Odd, Vandal, Wandering


@pytest.fixture
def sequence(dataset: Path) -> AnnotatedSequence:
    return read_otb(dataset / "Alpha")


def test_a_pass_gives_every_frame_a_box(sequence: AnnotatedSequence) -> None:
    result = run_pass(Identity(), sequence)
    np.testing.assert_array_equal(result.boxes, np.tile(sequence.boxes[0], (12, 1)))
    assert (result.statuses, result.failures) == (("",) * 12, ())
    assert np.isnan(result.psr).all()
    assert (result.seconds > 0).all()
    assert run_pass(Identity(), sequence, limit=3).boxes.shape == (3, 4)


def test_a_pass_from_the_middle_is_scored_on_its_own_frames(sequence: AnnotatedSequence) -> None:
    result = run_pass(Identity(), sequence, Start(5, Box(*sequence.boxes[5])))
    assert result.boxes.shape == (7, 4)
    np.testing.assert_array_equal(result.truth(sequence), sequence.boxes[5:])
    from_middle, from_start = (Score.of([d], sequence) for d in (result, run_pass(Identity(), sequence)))
    assert from_middle.auc > from_start.auc  # the target moves away from the box for fewer frames
    assert Score.of([result, result], sequence).frames == 14


def test_interleaved_trackers_give_the_same_boxes_as_alone(
    sequence: AnnotatedSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trackers process blocks in a rotating order, but each tracker gets every frame once, in order."""
    alone = {name: run_pass(tracker, sequence) for name, tracker in {"a": Wandering(), "b": Identity()}.items()}
    for frames in (1, 5, 100):
        monkeypatch.setattr(passes, "BLOCK_FRAMES", frames)
        together = run_passes({"a": Wandering(), "b": Identity()}, sequence)
        for name, result in alone.items():
            np.testing.assert_array_equal(together[name].boxes, result.boxes)
    monkeypatch.setattr(passes, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(run_pass(Wandering(), sequence).boxes, alone["a"].boxes)


def test_failures_are_recorded_and_valid_boxes_are_kept(sequence: AnnotatedSequence) -> None:
    result = run_passes({"bad": Failing(), "good": Identity()}, sequence)
    assert not result["good"].failures
    bad = result["bad"]
    assert np.isfinite(bad.boxes[[0, 7]]).all()  # the start box and the only valid result
    assert np.isnan(bad.boxes[[1, 2, 3, 4, 5, 6, 8, 9, 10, 11]]).all()
    assert bad.failures == (
        Failure(1, "returned None, not a box"),
        Failure(2, "returned 0 numbers, not x, y, w, h"),
        Failure(3, "returned a box that is not finite or has no size", 2),
        Failure(5, "returned 3 numbers, not x, y, w, h"),
        Failure(6, "returned 'box', not a box"),
        Failure(8, "RuntimeError: camera fell off", 4),
    )
    score = Score.of([bad], sequence)
    assert score.failures == 10
    assert score.auc <= 20 / 21 * 2 / 12


def test_a_tracker_that_writes_into_its_frame_does_not_change_it_for_others(sequence: AnnotatedSequence) -> None:
    alone = run_pass(Wandering(), sequence)
    beside = run_passes({"vandal": Vandal(), "moves": Wandering()}, sequence)
    np.testing.assert_array_equal(beside["moves"].boxes, alone.boxes)


def test_no_exception_of_a_tracker_ends_the_evaluation(sequence: AnnotatedSequence) -> None:
    result = run_pass(Odd(), sequence)
    first, second, third = (failure.what for failure in result.failures)
    assert "a trap" in first
    assert "too large" in second
    assert third == "SystemExit: 5"
    assert np.isfinite(result.boxes).all(axis=1).sum() == 1


def test_fps_counts_only_updates_that_ran(sequence: AnnotatedSequence) -> None:
    late = run_against_clock(Identity(), sequence, 1, clock=SteppingClock(1.5))
    assert Score.of([late], sequence).fps == pytest.approx(1 / 1.5)
    assert Score.of([run_pass(NeverStarts(), sequence)], sequence).fps == 0


def test_a_tracker_that_fails_in_init_has_only_the_start_box(sequence: AnnotatedSequence) -> None:
    result = run_pass(NeverStarts(), sequence)
    assert result.failures == (Failure(0, "ValueError: no model", 12),)
    assert Score.of([result], sequence).auc == pytest.approx(20 / 21 / 12)
    assert timing([result]).updates == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("tracker", [Identity, Failing, NeverStarts])
def test_every_protocol_accepts_every_tracker(sequence: AnnotatedSequence, protocol: str, tracker: type) -> None:
    result = [run_pass(tracker(), sequence, start) for start in PROTOCOLS[protocol](sequence)]
    score = Score.of(result, sequence)
    assert score.frames == 12 * {"ope": 1, "tre": 1, "sre": 12}[protocol]
    assert 0 < score.auc < 20 / 21
    assert (score.failures > 0) == (tracker is not Identity)


def test_tre_starts_are_evenly_spaced_and_leave_enough_frames(sequence: AnnotatedSequence) -> None:
    assert [start.index for start in tre(sequence)] == [0]
    images, boxes = ImageFrames((sequence.frames.files * 17)[:200]), np.tile(sequence.boxes, (17, 1))[:200]  # type: ignore[attr-defined]
    starts = tre(AnnotatedSequence("long", images, boxes))
    assert len(starts) == 20
    assert (starts[0].index, starts[-1].index) == (0, 180)
    assert np.ptp(np.diff([start.index for start in starts])) <= 1
    assert all(tuple(start.box) == tuple(boxes[start.index]) for start in starts)
    absent = boxes.copy()
    absent[170:190] = np.nan
    moved = tre(AnnotatedSequence("absent", images, absent))
    assert moved[-1].index == 190  # the next frame that shows the target
    assert all(np.isfinite(tuple(start.box)).all() for start in moved)


def test_sre_shifts_by_a_tenth_and_scales_about_the_centre(sequence: AnnotatedSequence) -> None:
    first_box = Box(*sequence.boxes[0])
    boxes = [start.box for start in sre(sequence)]
    assert len(boxes) == 12
    moved = {
        (round((b.x - first_box.x) / first_box.w, 6), round((b.y - first_box.y) / first_box.h, 6)) for b in boxes[:8]
    }
    assert moved == {(x, y) for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1)} - {(0, 0)}
    for box, scale in zip(boxes[8:], (0.8, 0.9, 1.1, 1.2), strict=True):
        assert box.centre == pytest.approx(first_box.centre)
        assert box.size == pytest.approx((first_box.w * scale, first_box.h * scale))


@pytest.mark.parametrize("model", SHIPPED)
def test_stage_clocks_change_no_box_and_cover_the_time(sequence: AnnotatedSequence, model: str) -> None:
    clocked = ClockedTracker(open_pipeline(model, preset="accurate"))
    for _ in range(2):  # the second pass must drop the times of the first
        result = run_pass(clocked, sequence)
    np.testing.assert_array_equal(result.boxes, run_pass(Tracker(model, preset="accurate"), sequence).boxes)
    assert set(result.stages) == set(STAGES)
    assert all((result.stages[name][1:] > 0).all() for name in STAGES)
    assert result.stages["backbone"][0] > 0  # init also runs the backbone
    total = np.sum(list(result.stages.values()), axis=0)
    assert (total <= result.seconds).all()
    assert total.sum() > 0.9 * result.seconds.sum()
    assert timing([result]).stages["backbone"] == pytest.approx(result.stages["backbone"][1:].mean() * 1000)


class SteppingClock:
    """A clock that advances by `step` seconds in every call of a tracker and is stopped outside."""

    def __init__(self, step: float) -> None:
        self.times = self._tick(step)

    def _tick(self, step: float) -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += step
            yield now

    def __call__(self) -> float:
        return next(self.times)


def frames_of_boxes(sequence: AnnotatedSequence, seconds: float, rate: float) -> list[int]:
    """For each frame, the index of the frame whose box it has. The tracker is perfect but needs `seconds` per frame."""

    class Perfect(Identity):
        def update(self, frame: np.ndarray) -> Box:
            matches = [i for i in range(len(sequence)) if np.array_equal(sequence.read(i), frame)]
            return Box(*sequence.boxes[matches[0]])

    boxes = run_against_clock(Perfect(), sequence, rate, clock=SteppingClock(seconds)).boxes
    return [int(np.argmin(np.abs(sequence.boxes - box).sum(axis=1))) for box in boxes]


def test_a_fast_tracker_has_the_same_boxes_in_real_time(sequence: AnnotatedSequence) -> None:
    assert frames_of_boxes(sequence, seconds=0.9, rate=1) == list(range(12))
    result = run_against_clock(Wandering(), sequence, rate=1e-3)
    np.testing.assert_array_equal(result.boxes, run_pass(Wandering(), sequence).boxes)


def test_a_late_box_is_scored_on_the_frame_of_its_arrival(sequence: AnnotatedSequence) -> None:
    """A call needs 1.5 frames. Frame 0 ends at 1.5, then frame 1 starts; frame 3 at 3.0, 4 at 4.5, 6 at 6.0."""
    assert frames_of_boxes(sequence, seconds=1.5, rate=1) == [0, 0, 0, 1, 3, 3, 4, 6, 6, 7, 9, 9]
    result = run_against_clock(Identity(), sequence, 1, clock=SteppingClock(1.5))
    assert np.flatnonzero(result.seconds).tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert frames_of_boxes(sequence, seconds=100, rate=1) == [0] * 12


def test_quantiles_are_over_the_updates(sequence: AnnotatedSequence) -> None:
    result = run_against_clock(Identity(), sequence, 1, clock=SteppingClock(0.25))
    times = timing([result])
    assert (times.updates, times.init, times.mean, times.fps) == (11, 250.0, 250.0, 4.0)
    assert set(times.quantiles) == {50.0, 90.0, 99.0, 99.9}
