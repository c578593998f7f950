"""Published boxes and scores of other trackers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.datasets.otb import SUBSETS
from dcfnet_evaluation.passes.published import read_results, read_table
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import SequenceError


def write(folder: Path, name: str, rows: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def truth(dataset: Path) -> dict[str, list[str]]:
    """The annotation rows of the sequences: 1-based, like result files."""
    return {name: (dataset / name / "groundtruth_rect.txt").read_text().split() for name in ("Alpha", "Beta")}


@pytest.mark.parametrize(("separator", "name"), [(",", "Alpha.txt"), ("\t", "alpha.txt"), (" ", "ALPHA.TXT")])
def test_the_annotation_as_a_result_has_a_perfect_score(
    dataset: Path, tmp_path: Path, truth: dict[str, list[str]], separator: str, name: str
) -> None:
    folder = write(tmp_path / "KCF", name, [row.replace(",", separator) for row in truth["Alpha"]])
    sequences = open_dataset("otb", dataset, ["Alpha"])
    (one_pass,) = read_results(folder, sequences).values()
    np.testing.assert_allclose(one_pass.boxes, sequences[0].boxes)
    score = Score.of([one_pass], sequences[0])
    assert score.auc == pytest.approx(20 / 21)
    assert (score.precision, score.failures, score.lost) == (1, 0, 0)


@pytest.mark.parametrize(
    ("names", "toolkit"),
    [
        (["Human4.txt", "Jogging.1.txt", "Jogging.2.txt"], "got10k"),
        (["Human4_2.txt", "Jogging_1.txt", "Jogging_2.txt"], "pytracking"),
        (["human4-2.txt", "jogging-1.txt", "jogging-2.txt"], "pysot"),
        (["Human4/Human4_001.txt", "Jogging-1/Jogging-1_001.txt", "Jogging-2/Jogging-2_001.txt"], "GOT-10k"),
    ],
)
def test_names_of_targets_of_other_toolkits_are_read(tmp_path: Path, names: list[str], toolkit: str) -> None:
    rows = {"Human4": "3,4,20,30", "Jogging-1": "5,6,20,30", "Jogging-2": "7,8,20,30"}
    for folder in ("Human4", "Jogging"):
        for number in ("1", "2"):
            images = tmp_path / "data" / folder / "img"
            write(images, f"000{number}.jpg", [""])
            empty = folder == "Human4" and number == "1"  # as in the benchmark
            row = rows["Human4" if folder == "Human4" else f"Jogging-{number}"]
            write(images.parent, f"groundtruth_rect.{number}.txt", [] if empty else [row, row])
    for name, row in zip(names, rows.values(), strict=True):
        file = tmp_path / toolkit / name
        write(file.parent, file.name, [row, row])
        write(file.parent, f"{file.stem}_time.txt", ["0.1", "0.1"])
    sequences = open_dataset("otb", tmp_path / "data")
    passes = read_results(tmp_path / toolkit, sequences)
    assert sorted(passes) == sorted(rows)
    for sequence in sequences:
        np.testing.assert_allclose(passes[sequence.name].boxes, sequence.boxes)


def test_two_numbered_results_for_one_target_are_not_guessed(dataset: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"Alpha_{number}.txt", ["1,2,3,4"])
    with pytest.raises(SequenceError, match=r"has no Alpha\.txt"):
        read_results(tmp_path, open_dataset("otb", dataset, ["Alpha"]))


def test_zero_based_results_are_not_converted(dataset: Path, tmp_path: Path, truth: dict[str, list[str]]) -> None:
    write(tmp_path, "Alpha.txt", truth["Alpha"])
    sequences = open_dataset("otb", dataset, ["Alpha"])
    difference = read_results(tmp_path, sequences, one_based=False)["Alpha"].boxes - sequences[0].boxes
    np.testing.assert_allclose(difference[1:], np.tile([1, 1, 0, 0], (11, 1)), atol=1e-9)
    np.testing.assert_array_equal(difference[0], 0)  # the true box replaces the first one


def test_frames_without_a_box_have_overlap_0(dataset: Path, tmp_path: Path, truth: dict[str, list[str]]) -> None:
    rows = truth["Alpha"]
    write(tmp_path, "Alpha.txt", [*rows[:4], "NaN,NaN,NaN,NaN", "0,0,0,0", *rows[6:]])
    sequences = open_dataset("otb", dataset, ["Alpha"])
    one_pass = read_results(tmp_path, sequences)["Alpha"]
    assert np.flatnonzero(np.isnan(one_pass.boxes).all(axis=1)).tolist() == [4, 5]
    assert Score.of([one_pass], sequences[0]).auc == pytest.approx(20 / 21 * 10 / 12)


@pytest.mark.parametrize("length", [11, 13, 310])
def test_a_wrong_length_is_an_error_with_both_counts(dataset: Path, tmp_path: Path, length: int) -> None:
    write(tmp_path, "alpha.txt", ["1,2,3,4"] * length)
    with pytest.raises(SequenceError, match=rf"alpha\.txt: {length} boxes, but Alpha has 12 annotated frames"):
        read_results(tmp_path, open_dataset("otb", dataset, ["Alpha"]))


def test_short_rows_and_missing_files_are_errors(dataset: Path, tmp_path: Path, truth: dict[str, list[str]]) -> None:
    sequences = open_dataset("otb", dataset)
    with pytest.raises(SequenceError, match=r"TLD: no such folder"):
        read_results(tmp_path / "TLD", sequences)
    write(tmp_path, "Alpha.txt", [*truth["Alpha"][:5], "1,2,3", *truth["Alpha"][6:]])
    with pytest.raises(SequenceError, match=r"has no Beta\.txt"):
        read_results(tmp_path, sequences)
    write(tmp_path, "Beta.txt", truth["Beta"])
    with pytest.raises(SequenceError, match=r"Alpha\.txt:6: "):
        read_results(tmp_path, sequences)


TABLE = ["tracker,sequence,auc,prec20,len_diff", "A,x,0.5,0.75,0", "A,y,0.7,0.25,0", "B,X,0.9,1.0,0", "B,y,nan,nan,3"]


def test_means_weight_sequences_equally_and_list_missing_ones(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "t.csv", TABLE) / "t.csv")
    (mean,), lacking = table.means(["X", "Y"])
    assert (mean.tracker, mean.auc, mean.precision) == ("A", pytest.approx(0.6), pytest.approx(0.5))
    assert lacking == {"B": ("Y",)}
    assert [mean.tracker for mean in table.means(["x"])[0]] == ["B", "A"]
    assert table.means([]) == ([], {})


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("A,z,1.5,0.5,0", r"t\.csv:6: .*scores from 0 to 1"),
        ("A,z,-0.1,0.5,0", r"t\.csv:6: .*scores from 0 to 1"),
        ("A,z,high,0.5,0", r"t\.csv:6: .*scores from 0 to 1"),
        ("A,z", r"t\.csv:6: .*scores from 0 to 1"),
        ("A,X,0.5,0.5,0", r"t\.csv:6: X is a second row for A"),
    ],
)
def test_an_invalid_row_of_the_table_is_an_error(tmp_path: Path, line: str, rule: str) -> None:
    write(tmp_path, "t.csv", [*TABLE, line])
    with pytest.raises(SequenceError, match=rule):
        read_table(tmp_path / "t.csv")


def test_a_table_without_its_columns_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "t.csv", ["name,auc", "A,0.5"])
    with pytest.raises(SequenceError, match=r"t\.csv:1: has no column tracker, sequence, prec20"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SequenceError, match=r"t\.csv: cannot be read"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(SequenceError, match=r"none\.csv: cannot be read"):
        read_table(tmp_path / "none.csv")


def test_published_scores_match_the_known_means(shared: Path) -> None:
    """Oracle: the means of the papers' tables and of the notes in shared/, over the 11 sequences on disk."""
    file = shared / "reference" / "published_otb100_per_sequence.csv"
    names = sorted(folder.name for folder in (shared / "data" / "otb").iterdir() if folder.is_dir())
    assert len(names) == 11
    table = read_table(file)
    means, lacking = table.means(names)
    by_tracker = {mean.tracker: (round(mean.auc, 3), round(mean.precision, 3)) for mean in means}
    assert by_tracker["KCF-GaussHog"] == (0.490, 0.727)
    assert by_tracker["SRDCF"] == (0.687, 0.910)
    assert by_tracker["SiamFC-3s"] == (0.685, 0.901)
    assert by_tracker["C-COT"] == (0.688, 0.934)
    assert by_tracker["MDnet"] == (0.707, 0.932)
    assert by_tracker["LADCF"] == (0.743, 0.949)
    assert "MDnet(ano50)" in lacking  # has scores for half of the benchmark
    assert len(table.means(SUBSETS["otb2015"])[0]) + len(table.means(SUBSETS["otb2015"])[1]) == len(table.scores)
