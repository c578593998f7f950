"""Scores, sequences and one-pass evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dcfnet.geometry import Box
from dcfnet.result import Reason, Result, Status
from dcfnet_evaluation.cli import app
from dcfnet_evaluation.metrics import centre_errors, overlaps, precision, success_auc
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.protocols import PROTOCOLS, Start, sre, tre
from dcfnet_evaluation.scores import Score, compare, read_scores, write_scores
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, read_boxes, read_otb, read_otb_dataset
from typer.testing import CliRunner

from tests.train.footage import make_otb_sequence


class Identity:
    """A tracker that never moves: the field's own test double."""

    def init(self, frame: np.ndarray, box: Box | Sequence[float]) -> None:
        self.box = Box(*box)

    def update(self, frame: np.ndarray | None) -> Result:
        return Result(self.box, 1.0, 10.0, 10.0, Status.TRACKED, Reason.FOUND)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("otb")
    for seed, name in enumerate(["Alpha", "Beta"]):
        make_otb_sequence(root / name, length=8, seed=seed)
    return root


def test_a_perfect_tracker_scores_20_of_21() -> None:
    """OTB counts overlaps strictly above each threshold, and nothing is above 1."""
    truth = np.array([[10.0, 20, 30, 40], [11, 21, 30, 40]])
    assert success_auc(truth, truth) == pytest.approx(20 / 21)
    assert precision(truth, truth) == 1


def test_scores_by_hand() -> None:
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [100, 0, 10, 10]])
    np.testing.assert_allclose(overlaps(boxes, truth), [1, 1 / 3, 0])
    np.testing.assert_allclose(centre_errors(boxes, truth), [0, 5, 100])
    assert success_auc(boxes, truth) == pytest.approx((20 + 7 + 0) / 21 / 3)  # 1/3 is above 0 .. 0.30
    assert precision(boxes, truth) == pytest.approx(2 / 3)
    assert precision(boxes, truth, pixels=5) == pytest.approx(2 / 3)  # at most, not under


def test_overlaps_are_those_of_the_box() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 50, size=(2, 100, 4))
    np.testing.assert_allclose(
        overlaps(first, second), [Box(*a).iou(Box(*b)) for a, b in zip(first, second, strict=True)]
    )
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0


@pytest.mark.parametrize("text", ["1,2,3,4\n5,6,7,8\n", "1\t2\t3\t4\n5\t6\t7\t8", "1 2 3 4\n\n5, 6, 7, 8\n"])
def test_boxes_are_read_with_any_separator(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.txt").write_text(text)
    np.testing.assert_array_equal(read_boxes(tmp_path / "b.txt"), [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("line", ["5,6,7", "a,b,c,d", "1,2,3,4,5"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "b.txt").write_text(f"1,2,3,4\n{line}\n")
    with pytest.raises(SequenceError, match=r"b\.txt:2"):
        read_boxes(tmp_path / "b.txt")


def test_otb_boxes_become_0_based(dataset: Path) -> None:
    sequence = read_otb(dataset / "Alpha")
    raw = read_boxes(dataset / "Alpha" / "groundtruth_rect.txt")
    np.testing.assert_allclose(sequence.boxes, raw - [1, 1, 0, 0])
    assert len(sequence.frames) == 8


def test_a_sequence_that_does_not_fit_together_is_named(dataset: Path, tmp_path: Path) -> None:
    make_otb_sequence(tmp_path / "Gamma", length=3)
    (tmp_path / "Gamma" / "img" / "0002.png").unlink()
    with pytest.raises(SequenceError, match="Gamma: 2 frames but 3 boxes"):
        read_otb_dataset(tmp_path)
    with pytest.raises(SequenceError, match="no sequence Delta; there are Alpha, Beta"):
        read_otb_dataset(dataset, ["Delta"])
    (tmp_path / "Delta").mkdir()
    (tmp_path / "Delta" / "groundtruth_rect.txt").write_text("1,2,3,4\n")
    with pytest.raises(SequenceError, match="Delta: has no folder img/"):
        read_otb_dataset(tmp_path, ["Delta"])
    with pytest.raises(SequenceError, match="OTB's layout"):
        read_otb_dataset(tmp_path / "none")


def test_one_pass_gives_every_frame_a_box(dataset: Path) -> None:
    done = run_pass(Identity(), read_otb(dataset / "Alpha"))
    assert done.boxes.shape == (8, 4)
    assert done.psr.shape == done.lost.shape == (7,)
    assert 0 < done.auc < 20 / 21
    assert not done.lost.any()
    assert run_pass(Identity(), read_otb(dataset / "Alpha"), limit=3).boxes.shape == (3, 4)


def test_the_command_prints_and_writes_the_scores(dataset: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["otb", str(dataset), "--output", str(tmp_path / "s.json"), "--limit", "5"])
    assert result.exit_code == 0, result.output
    scores = json.loads((tmp_path / "s.json").read_text())
    assert [s["sequence"] for s in scores] == ["Alpha", "Beta"]
    assert all(s["frames"] == 5 and s["auc"] > 0.7 for s in scores)
    for name in ("Alpha", "Beta", "mean"):
        assert name in result.output


def test_a_missing_folder_is_one_line_and_a_code(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["otb", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "none: no sequences" in result.output


def test_tre_starts_evenly_and_ends_with_enough_frames_left(dataset: Path) -> None:
    short = read_otb(dataset / "Alpha")
    assert [start.index for start in tre(short)] == [0]
    long = AnnotatedSequence("long", short.frames * 25, np.tile(short.boxes, (25, 1)))  # 200 frames
    starts = tre(long)
    assert len(starts) == 20
    assert (starts[0].index, starts[-1].index) == (0, 180)
    assert np.ptp(np.diff([start.index for start in starts])) <= 1
    assert all(tuple(start.box) == tuple(long.boxes[start.index]) for start in starts)


def test_sre_shifts_by_a_tenth_and_scales_about_the_centre(dataset: Path) -> None:
    sequence = read_otb(dataset / "Alpha")
    true = Box(*sequence.boxes[0])
    boxes = [start.box for start in sre(sequence)]
    assert len(boxes) == 12
    moved = {(round((b.x - true.x) / true.w, 6), round((b.y - true.y) / true.h, 6)) for b in boxes[:8]}
    assert moved == {(x, y) for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1)} - {(0, 0)}
    for box, scale in zip(boxes[8:], (0.8, 0.9, 1.1, 1.2), strict=True):
        assert box.centre == pytest.approx(true.centre)
        assert box.size == pytest.approx((true.w * scale, true.h * scale))


def test_a_pass_from_the_middle_is_scored_against_its_own_frames(dataset: Path) -> None:
    sequence = read_otb(dataset / "Alpha")
    done = run_pass(Identity(), sequence, Start(5, Box(*sequence.boxes[5])))
    assert done.boxes.shape == (3, 4)
    np.testing.assert_array_equal(done.truth, sequence.boxes[5:])
    assert done.auc > run_pass(Identity(), sequence).auc  # it had less time to be left behind


def test_scores_survive_their_file_and_a_broken_one_is_named(tmp_path: Path) -> None:
    scores = [Score("a", 10, 0.5, 0.75, 0.1, 20.0), Score("b", 5, 0.25, 0.5, 0.0, 30.0)]
    write_scores(scores, tmp_path / "deep" / "s.json")
    assert read_scores(tmp_path / "deep" / "s.json") == scores
    row = '[{"sequence": "a", "frames": 9, "auc": %s, "precision": 0.5, "lost": 0, "fps": 9}]'
    for content in ("{", "[1]", '[{"sequence": "a"}]', *(row % auc for auc in ("NaN", "null", '"0.5"', "1.5"))):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(SequenceError, match=r"bad\.json"):
            read_scores(tmp_path / "bad.json")


def scores_of(values: Sequence[float]) -> list[Score]:
    return [Score(f"s{i}", 100, value, 0.5, 0.0, 20.0) for i, value in enumerate(values)]


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


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_compare_is_a_gate(tmp_path: Path) -> None:
    write_scores(scores_of([0.5, 0.6, 0.7, 0.4]), tmp_path / "a.json")
    write_scores(scores_of([0.4, 0.5, 0.6, 0.3]), tmp_path / "b.json")
    code, text = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 2
    assert "-0.1000" in text
    assert "B is worse" in text
    assert run("compare", tmp_path / "b.json", tmp_path / "a.json")[0] == 0
    assert run("compare", tmp_path / "a.json", tmp_path / "none.json")[0] == 1
    write_scores(scores_of([0.5, 0.6]), tmp_path / "two.json")
    assert "only one of the two has them: s2, s3" in run("compare", tmp_path / "a.json", tmp_path / "two.json")[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_runs_as_typed(dataset: Path, tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "s.json"
    args = ["otb", dataset, "--protocol", protocol, "--sequences", "Alpha", "--limit", 3, "--output", file]
    code, text = run(*args)
    assert code == 0, text
    (score,) = read_scores(file)
    assert score.frames == 3 * {"ope": 1, "tre": 1, "sre": 12}[protocol]
    assert score.auc > 0.6


def test_an_unknown_protocol_is_refused(dataset: Path) -> None:
    code, text = run("otb", dataset, "--protocol", "vot")
    assert code != 0
    assert "ope, tre, sre" in text


def test_frames_are_paired_with_boxes_in_natural_order(dataset: Path, tmp_path: Path) -> None:
    make_otb_sequence(tmp_path / "Gamma", length=12)
    for file in sorted((tmp_path / "Gamma" / "img").iterdir()):
        file.rename(file.with_name(f"{int(file.stem)}.png"))
    assert [file.stem for file in read_otb(tmp_path / "Gamma").frames] == [str(i) for i in range(1, 13)]
