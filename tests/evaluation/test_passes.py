"""Passes: what a tracker is given, what is made of its answers, and tracking against the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dcfnet.geometry import Box
from dcfnet.tracker import Tracker, open_pipeline
from dcfnet_evaluation import passes
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.latency import run_against_clock
from dcfnet_evaluation.passes import Failure, run_pass, run_passes
from dcfnet_evaluation.protocols import PROTOCOLS, Start, sre, tre
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import AnnotatedSequence, ImageFrames
from dcfnet_evaluation.stages import STAGES, ClockedTracker
from dcfnet_evaluation.timing import timing

from tests.evaluation.doubles import Failing, Identity, NeverStarts, Odd, Vandal, Wandering


@pytest.fixture
def sequence(dataset: Path) -> AnnotatedSequence:
    return read_otb(dataset / "Alpha")


def test_a_pass_gives_every_frame_a_box(sequence: AnnotatedSequence) -> None:
    done = run_pass(Identity(), sequence)
    np.testing.assert_array_equal(done.boxes, np.tile(sequence.boxes[0], (12, 1)))
    assert (done.statuses, done.failures) == (("",) * 12, ())
    assert np.isnan(done.psr).all()
    assert (done.seconds > 0).all()
    assert run_pass(Identity(), sequence, limit=3).boxes.shape == (3, 4)


def test_a_pass_from_the_middle_is_scored_against_its_own_frames(sequence: AnnotatedSequence) -> None:
    done = run_pass(Identity(), sequence, Start(5, Box(*sequence.boxes[5])))
    assert done.boxes.shape == (7, 4)
    np.testing.assert_array_equal(done.truth(sequence), sequence.boxes[5:])
    late, whole = (Score.of([d], sequence) for d in (done, run_pass(Identity(), sequence)))
    assert late.auc > whole.auc  # it had less time to be left behind
    assert Score.of([done, done], sequence).frames == 14


def test_side_by_side_is_the_same_as_one_by_one(sequence: AnnotatedSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of frames are handed round in rotating turns; every tracker still sees each frame once, in order."""
    alone = {name: run_pass(tracker, sequence) for name, tracker in {"a": Wandering(), "b": Identity()}.items()}
    for frames in (1, 5, 100):
        monkeypatch.setattr(passes, "BLOCK_FRAMES", frames)
        together = run_passes({"a": Wandering(), "b": Identity()}, sequence)
        for name, done in alone.items():
            np.testing.assert_array_equal(together[name].boxes, done.boxes)
    monkeypatch.setattr(passes, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(run_pass(Wandering(), sequence).boxes, alone["a"].boxes)


def test_what_a_tracker_does_wrong_is_told_and_the_rest_is_kept(sequence: AnnotatedSequence) -> None:
    done = run_passes({"bad": Failing(), "good": Identity()}, sequence)
    assert not done["good"].failures
    bad = done["bad"]
    assert np.isfinite(bad.boxes[[0, 7]]).all()  # the given one, and the one good answer
    assert np.isnan(bad.boxes[[1, 2, 3, 4, 5, 6, 8, 9, 10, 11]]).all()
    assert bad.failures == (
        Failure(1, "answered None, not a box"),
        Failure(2, "answered 0 numbers, not x, y, w, h"),
        Failure(3, "answered a box that is not finite or has no size", 2),
        Failure(5, "answered 3 numbers, not x, y, w, h"),
        Failure(6, "answered 'box', not a box"),
        Failure(8, "RuntimeError: camera fell off", 4),
    )
    score = Score.of([bad], sequence)
    assert score.failures == 10
    assert score.auc <= 20 / 21 * 2 / 12


def test_a_tracker_that_draws_into_its_frame_spoils_no_other(sequence: AnnotatedSequence) -> None:
    alone = run_pass(Wandering(), sequence)
    beside = run_passes({"vandal": Vandal(), "moves": Wandering()}, sequence)
    np.testing.assert_array_equal(beside["moves"].boxes, alone.boxes)


def test_nothing_that_a_tracker_does_ends_the_evaluation(sequence: AnnotatedSequence) -> None:
    done = run_pass(Odd(), sequence)
    first, second, third = (failure.what for failure in done.failures)
    assert "a trap" in first
    assert "too large" in second
    assert third == "SystemExit: 5"
    assert np.isfinite(done.boxes).all(axis=1).sum() == 1


def test_frames_a_second_are_of_updates_that_were_made(sequence: AnnotatedSequence) -> None:
    late = run_against_clock(Identity(), sequence, 1, clock=Hours(1.5))
    assert Score.of([late], sequence).fps == pytest.approx(1 / 1.5)
    assert Score.of([run_pass(NeverStarts(), sequence)], sequence).fps == 0


def test_a_tracker_that_does_not_start_has_the_box_it_was_given(sequence: AnnotatedSequence) -> None:
    done = run_pass(NeverStarts(), sequence)
    assert done.failures == (Failure(0, "ValueError: no model", 12),)
    assert Score.of([done], sequence).auc == pytest.approx(20 / 21 / 12)
    assert timing([done]).updates == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("tracker", [Identity, Failing, NeverStarts])
def test_every_protocol_takes_every_tracker(sequence: AnnotatedSequence, protocol: str, tracker: type) -> None:
    done = [run_pass(tracker(), sequence, start) for start in PROTOCOLS[protocol](sequence)]
    score = Score.of(done, sequence)
    assert score.frames == 12 * {"ope": 1, "tre": 1, "sre": 12}[protocol]
    assert 0 < score.auc < 20 / 21
    assert (score.failures > 0) == (tracker is not Identity)


def test_tre_starts_evenly_and_ends_with_enough_frames_left(sequence: AnnotatedSequence) -> None:
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
    assert moved[-1].index == 190  # the first frame after it that shows the target
    assert all(np.isfinite(tuple(start.box)).all() for start in moved)


def test_sre_shifts_by_a_tenth_and_scales_about_the_centre(sequence: AnnotatedSequence) -> None:
    true = Box(*sequence.boxes[0])
    boxes = [start.box for start in sre(sequence)]
    assert len(boxes) == 12
    moved = {(round((b.x - true.x) / true.w, 6), round((b.y - true.y) / true.h, 6)) for b in boxes[:8]}
    assert moved == {(x, y) for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1)} - {(0, 0)}
    for box, scale in zip(boxes[8:], (0.8, 0.9, 1.1, 1.2), strict=True):
        assert box.centre == pytest.approx(true.centre)
        assert box.size == pytest.approx((true.w * scale, true.h * scale))


def test_the_clocks_around_the_stages_change_no_box_and_miss_no_time(sequence: AnnotatedSequence) -> None:
    clocked = ClockedTracker(open_pipeline(preset="accurate"))
    for _ in range(2):  # a second pass starts its clock anew
        done = run_pass(clocked, sequence)
    np.testing.assert_array_equal(done.boxes, run_pass(Tracker(preset="accurate"), sequence).boxes)
    assert set(done.stages) == set(STAGES)
    assert all((done.stages[name][1:] > 0).all() for name in STAGES)
    assert done.stages["backbone"][0] > 0  # starting learns, too
    total = np.sum(list(done.stages.values()), axis=0)
    assert (total <= done.seconds).all()
    assert total.sum() > 0.9 * done.seconds.sum()
    assert timing([done]).stages["backbone"] == pytest.approx(done.stages["backbone"][1:].mean() * 1000)


class Hours:
    """A clock that stands still outside a tracker and goes on by `each` seconds inside of it."""

    def __init__(self, each: float) -> None:
        self.times = self._tick(each)

    def _tick(self, each: float) -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += each
            yield now

    def __call__(self) -> float:
        return next(self.times)


def follow(sequence: AnnotatedSequence, seconds: float, rate: float) -> list[int]:
    """Which frame's box each frame has, of a tracker that is always right but takes `seconds`."""

    class Perfect(Identity):
        def update(self, frame: np.ndarray) -> Box:
            same = [i for i in range(len(sequence)) if np.array_equal(sequence.read(i), frame)]
            return Box(*sequence.boxes[same[0]])

    boxes = run_against_clock(Perfect(), sequence, rate, clock=Hours(seconds)).boxes
    return [int(np.argmin(np.abs(sequence.boxes - box).sum(axis=1))) for box in boxes]


def test_a_tracker_in_time_loses_nothing(sequence: AnnotatedSequence) -> None:
    assert follow(sequence, seconds=0.9, rate=1) == list(range(12))
    done = run_against_clock(Wandering(), sequence, rate=1e-3)
    np.testing.assert_array_equal(done.boxes, run_pass(Wandering(), sequence).boxes)


def test_a_late_box_counts_against_the_frame_that_is_there_when_it_arrives(sequence: AnnotatedSequence) -> None:
    """1.5 frames long: 0 is done at 1.5 and 1 is taken then; at 3.0 frame 3, at 4.5 frame 4, at 6.0 frame 6."""
    assert follow(sequence, seconds=1.5, rate=1) == [0, 0, 0, 1, 3, 3, 4, 6, 6, 7, 9, 9]
    done = run_against_clock(Identity(), sequence, 1, clock=Hours(1.5))
    assert np.flatnonzero(done.seconds).tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert follow(sequence, seconds=100, rate=1) == [0] * 12


def test_quantiles_are_those_of_the_updates(sequence: AnnotatedSequence) -> None:
    done = run_against_clock(Identity(), sequence, 1, clock=Hours(0.25))
    found = timing([done])
    assert (found.updates, found.init, found.mean, found.fps) == (11, 250.0, 250.0, 4.0)
    assert set(found.quantiles) == {50.0, 90.0, 99.0, 99.9}
