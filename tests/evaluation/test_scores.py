"""Scores, their means, their file, and the comparison of two sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dcfnet.result import Box
from dcfnet_evaluation.scores import Score, by_attribute, compare, mean_score
from dcfnet_evaluation.scores.metrics import (
    centre_errors,
    centre_location_error,
    overlap_precision,
    overlaps,
    precision,
    precision_curve,
    success_auc,
    success_curve,
)
from dcfnet_evaluation.scores.sheet import Sheet, read_sheet, write_sheet
from dcfnet_evaluation.scores.timing import Timing
from dcfnet_evaluation.sequences import SequenceError


def test_a_perfect_tracker_scores_20_of_21() -> None:
    """OTB counts overlaps strictly above each threshold, and no overlap is above 1."""
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
    assert success_auc(boxes, truth) == pytest.approx((20 + 7 + 0) / 21 / 3)  # 1/3 is above the thresholds 0 .. 0.30
    assert precision(boxes, truth) == pytest.approx(2 / 3)
    assert precision(boxes, truth, pixels=5) == pytest.approx(2 / 3)  # at most 5 px, not less than 5 px
    assert overlap_precision(boxes, truth) == pytest.approx(1 / 3)
    assert centre_location_error(boxes, truth) == pytest.approx(35)
    np.testing.assert_allclose(success_curve(boxes, truth)[[0, 6, 7, 20]], [2 / 3, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(precision_curve(boxes, truth)[[0, 4, 5, 50]], [1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_overlaps_match_box_iou() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 50, size=(2, 100, 4))
    np.testing.assert_allclose(
        overlaps(first, second), [Box(*a).iou(Box(*b)) for a, b in zip(first, second, strict=True)]
    )
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_a_missing_box_is_a_miss_and_an_absent_target_is_not_scored() -> None:
    nothing = [np.nan] * 4
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], nothing, [0, 0, 10, 10]])
    boxes = np.array([[0.0, 0, 10, 10], nothing, [0, 0, 10, 10], [0, 0, 10, 10]])
    assert success_auc(boxes, truth) == pytest.approx(20 / 21 * 2 / 3)
    assert precision(boxes, truth) == overlap_precision(boxes, truth) == pytest.approx(2 / 3)
    assert precision_curve(boxes, truth)[50] == pytest.approx(2 / 3)
    assert centre_location_error(boxes, truth) == 0
    assert np.isnan(centre_location_error(boxes[1:2], truth[1:2]))


def score(name: str, auc: float, **changes: object) -> Score:
    default = Score(name, 100, auc, 0.5, 0.4, 7.0, 0.0, 0, 20.0, tuple([auc] * 21), tuple([0.5] * 51))
    return replace(default, **changes)  # type: ignore[arg-type]


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


def test_means_weight_sequences_equally() -> None:
    mean = mean_score([score("a", 0.2, frames=10, fps=10.0, failures=1), score("b", 0.4, frames=1000, fps=30.0)])
    assert (mean.auc, mean.frames, mean.fps, mean.failures) == (pytest.approx(0.3), 1010, 20.0, 1)
    assert mean.success == pytest.approx([0.3] * 21)
    assert mean_score([score("a", 0.2, centre_error=float("nan")), score("b", 0.4)]).centre_error == 7.0


def test_scores_are_grouped_by_attribute() -> None:
    scores = scores_of([0.1, 0.2, 0.3])
    groups = by_attribute(scores, {"s0": ["OCC", "FM"], "s2": ["FM"]})
    assert {name: [s.sequence for s in group] for name, group in groups.items()} == {
        "ALL": ["s0", "s1", "s2"],
        "FM": ["s0", "s2"],
        "OCC": ["s0"],
    }


def test_scores_are_read_back_unchanged(tmp_path: Path) -> None:
    sheet = sheet_of(limit=7, ours=[0.5, 0.25], theirs=[0.1, 0.2])
    sheet.scores["ours"][0] = score("s0", 0.5, centre_error=float("nan"))  # type: ignore[index]
    write_sheet(sheet, tmp_path / "deep" / "scores.json")
    assert "NaN" not in (tmp_path / "deep" / "scores.json").read_text()  # NaN is not valid JSON
    for place in (tmp_path / "deep", tmp_path / "deep" / "scores.json"):
        again = read_sheet(place)
        assert repr(again) == repr(sheet)
        assert [s.auc for s in again.tracker()] == [0.5, 0.25]
        assert [s.auc for s in again.tracker("theirs")] == [0.1, 0.2]
    with pytest.raises(SequenceError, match="tracker 'ore': is not in the scores; choose one of ours, theirs"):
        again.tracker("ore")


@pytest.mark.parametrize("auc", ["NaN", "null", '"0.5"', "1.5"])
def test_an_invalid_score_is_an_error(tmp_path: Path, auc: str) -> None:
    write_sheet(sheet_of(ours=[0.53125]), tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text(text.replace('"auc":0.53125', f'"auc":{auc}'))
    with pytest.raises(SequenceError, match=r"s\.json"):
        read_sheet(tmp_path / "s.json")


@pytest.mark.parametrize("content", ["{", "[1]", '{"scores": {}}', ""])
def test_a_file_without_scores_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(SequenceError, match=r"bad\.json: not a valid score file"):
        read_sheet(tmp_path / "bad.json")
    with pytest.raises(SequenceError, match=r"scores\.json"):
        read_sheet(tmp_path)


def test_a_paired_interval_detects_a_small_constant_loss() -> None:
    """Sequences differ more than trackers do; only pairs show a small constant loss."""
    rng = np.random.default_rng(0)
    before = rng.uniform(0.1, 0.9, size=30)
    after = before - 0.01 + rng.normal(0, 0.005, size=30)
    comparison = compare(scores_of(before), scores_of(after))
    assert comparison.worse
    assert comparison.low < comparison.difference < comparison.high < 0
    assert not compare(scores_of(after), scores_of(before)).worse


def test_the_interval_has_its_nominal_coverage() -> None:
    rng, covered = np.random.default_rng(1), 0
    for trial in range(200):
        differences = rng.normal(0.02, 0.1, size=40)
        comparison = compare(scores_of(np.zeros(40)), scores_of(differences), seed=trial)
        covered += comparison.low <= 0.02 <= comparison.high
    assert 180 <= covered <= 198  # 190 expected; the percentile bootstrap of 40 samples is slightly too narrow


def test_one_outlier_is_not_a_difference() -> None:
    comparison = compare(scores_of([0.5] * 10), scores_of([0.5] * 9 + [0.0]))
    assert not comparison.worse
    with pytest.raises(SequenceError, match="1 sequences are in both; a paired interval needs at least 2"):
        compare(scores_of([0.5]), scores_of([0.5, 0.6]))
