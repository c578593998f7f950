"""Scores, their means, their file, and one set of them against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dcfnet.geometry import Box
from dcfnet_evaluation.metrics import (
    centre_errors,
    centre_location_error,
    overlap_precision,
    overlaps,
    precision,
    precision_curve,
    success_auc,
    success_curve,
)
from dcfnet_evaluation.scores import Score, by_attribute, compare, mean_score
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.sheet import Sheet, read_sheet, write_sheet
from dcfnet_evaluation.timing import Timing


def test_a_perfect_tracker_scores_20_of_21() -> None:
    """OTB counts overlaps strictly above each threshold, and nothing is above 1."""
    truth = np.array([[10.0, 20, 30, 40], [11, 21, 30, 40]])
    assert success_auc(truth, truth) == pytest.approx(20 / 21)
    assert precision(truth, truth) == 1
    uneven = np.random.default_rng(0).uniform(0.1, 99, size=(500, 4))  # rounding must not lift an overlap above 1
    assert success_auc(uneven, uneven) == pytest.approx(20 / 21)


def test_scores_by_hand() -> None:
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [100, 0, 10, 10]])
    np.testing.assert_allclose(overlaps(boxes, truth), [1, 1 / 3, 0])
    np.testing.assert_allclose(centre_errors(boxes, truth), [0, 5, 100])
    assert success_auc(boxes, truth) == pytest.approx((20 + 7 + 0) / 21 / 3)  # 1/3 is above 0 .. 0.30
    assert precision(boxes, truth) == pytest.approx(2 / 3)
    assert precision(boxes, truth, pixels=5) == pytest.approx(2 / 3)  # at most, not under
    assert overlap_precision(boxes, truth) == pytest.approx(1 / 3)
    assert centre_location_error(boxes, truth) == pytest.approx(35)
    np.testing.assert_allclose(success_curve(boxes, truth)[[0, 6, 7, 20]], [2 / 3, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(precision_curve(boxes, truth)[[0, 4, 5, 50]], [1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_overlaps_are_those_of_the_box() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 50, size=(2, 100, 4))
    np.testing.assert_allclose(
        overlaps(first, second), [Box(*a).iou(Box(*b)) for a, b in zip(first, second, strict=True)]
    )
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_no_box_is_a_miss_and_no_target_is_not_scored() -> None:
    nothing = [np.nan] * 4
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], nothing, [0, 0, 10, 10]])
    boxes = np.array([[0.0, 0, 10, 10], nothing, [0, 0, 10, 10], [0, 0, 10, 10]])
    assert success_auc(boxes, truth) == pytest.approx(20 / 21 * 2 / 3)
    assert precision(boxes, truth) == overlap_precision(boxes, truth) == pytest.approx(2 / 3)
    assert precision_curve(boxes, truth)[50] == pytest.approx(2 / 3)
    assert centre_location_error(boxes, truth) == 0
    assert np.isnan(centre_location_error(boxes[1:2], truth[1:2]))


def score(name: str, auc: float, **changes: object) -> Score:
    made = Score(name, 100, auc, 0.5, 0.4, 7.0, 0.0, 0, 20.0, tuple([auc] * 21), tuple([0.5] * 51))
    return replace(made, **changes)  # type: ignore[arg-type]


def scores_of(values: Sequence[float]) -> list[Score]:
    return [score(f"s{i}", value) for i, value in enumerate(values)]


def sheet_of(limit: int | None = None, **trackers: Sequence[float]) -> Sheet:
    timing = Timing(500, 12.0, 21.0, {50.0: 20.0, 90.0: 25.0, 99.0: 30.0, 99.9: 40.0}, {"crop": 1.0})
    return Sheet(
        run={"layout": "otb", "dataset": "OTB", "protocol": "ope", "limit": limit},
        trackers={name: {"kind": "dcfnet"} for name in trackers},
        machine={"cores": 2},
        scores={name: scores_of(values) for name, values in trackers.items()},
        against_clock={30: {name: scores_of(values) for name, values in trackers.items()}},
        timings=dict.fromkeys(trackers, timing),
        memory=dict.fromkeys(trackers, 10**8),
    )


def test_a_mean_counts_every_sequence_once() -> None:
    mean = mean_score([score("a", 0.2, frames=10, fps=10.0, failures=1), score("b", 0.4, frames=1000, fps=30.0)])
    assert (mean.auc, mean.frames, mean.fps, mean.failures) == (pytest.approx(0.3), 1010, 20.0, 1)
    assert mean.success == pytest.approx([0.3] * 21)
    assert mean_score([score("a", 0.2, centre_error=float("nan")), score("b", 0.4)]).centre_error == 7.0


def test_attributes_gather_their_sequences() -> None:
    scores = scores_of([0.1, 0.2, 0.3])
    found = by_attribute(scores, {"s0": ["OCC", "FM"], "s2": ["FM"]})
    assert {name: [s.sequence for s in group] for name, group in found.items()} == {
        "ALL": ["s0", "s1", "s2"],
        "FM": ["s0", "s2"],
        "OCC": ["s0"],
    }


def test_scores_survive_their_file(tmp_path: Path) -> None:
    sheet = sheet_of(limit=7, ours=[0.5, 0.25], theirs=[0.1, 0.2])
    sheet.scores["ours"][0] = score("s0", 0.5, centre_error=float("nan"))  # type: ignore[index]
    write_sheet(sheet, tmp_path / "deep" / "scores.json")
    assert "NaN" not in (tmp_path / "deep" / "scores.json").read_text()  # which is no JSON
    for place in (tmp_path / "deep", tmp_path / "deep" / "scores.json"):
        again = read_sheet(place)
        assert repr(again) == repr(sheet)
        assert [s.auc for s in again.tracker()] == [0.5, 0.25]
        assert [s.auc for s in again.tracker("theirs")] == [0.1, 0.2]
    with pytest.raises(SequenceError, match="no tracker 'ore' in the scores; there are ours, theirs"):
        again.tracker("ore")


@pytest.mark.parametrize("auc", ["NaN", "null", '"0.5"', "1.5"])
def test_a_score_that_is_none_is_refused(tmp_path: Path, auc: str) -> None:
    write_sheet(sheet_of(ours=[0.53125]), tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text(text.replace('"auc":0.53125', f'"auc":{auc}'))
    with pytest.raises(SequenceError, match=r"s\.json"):
        read_sheet(tmp_path / "s.json")


@pytest.mark.parametrize("content", ["{", "[1]", '{"scores": {}}', ""])
def test_a_file_that_holds_no_scores_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(SequenceError, match=r"bad\.json: not scores"):
        read_sheet(tmp_path / "bad.json")
    with pytest.raises(SequenceError, match=r"scores\.json"):
        read_sheet(tmp_path)


def test_a_paired_interval_sees_what_unpaired_scores_hide() -> None:
    """Sequences differ far more than trackers do; a small steady loss shows only in pairs."""
    rng = np.random.default_rng(0)
    before = rng.uniform(0.1, 0.9, size=30)
    after = before - 0.01 + rng.normal(0, 0.005, size=30)
    found = compare(scores_of(before), scores_of(after))
    assert found.worse
    assert found.low < found.difference < found.high < 0
    assert not compare(scores_of(after), scores_of(before)).worse


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(1), 0
    for trial in range(200):
        differences = rng.normal(0.02, 0.1, size=40)
        found = compare(scores_of(np.zeros(40)), scores_of(differences), seed=trial)
        covered += found.low <= 0.02 <= found.high
    assert 180 <= covered <= 198  # 190 expected; a percentile bootstrap of 40 is a little narrow


def test_one_lucky_sequence_is_no_difference() -> None:
    found = compare(scores_of([0.5] * 10), scores_of([0.5] * 9 + [0.0]))
    assert not found.worse
    with pytest.raises(SequenceError, match="1 sequences in common"):
        compare(scores_of([0.5]), scores_of([0.5, 0.6]))
