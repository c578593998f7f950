"""The OTB layout and the exceptions of its sequences."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.rendered import render_clip
from dcfnet_evaluation.sequences import SequenceError

from tests.evaluation.trees import rows, touch, write
from tests.train.footage import make_otb_sequence


def test_otb_boxes_become_0_based_and_frames_are_read_on_demand(tmp_path: Path) -> None:
    make_otb_sequence(tmp_path / "Alpha", length=3)
    (tmp_path / "Alpha/img/0003.png").write_bytes(b"no image")
    sequence = read_otb(tmp_path / "Alpha")
    clip = render_clip(3, 320, 240, seed=0, occluder=False)
    np.testing.assert_allclose(sequence.boxes, [tuple(clip.box(t)) for t in range(3)])
    np.testing.assert_array_equal(sequence.read(1), list(clip)[1][0])
    assert len(sequence) == 3
    with pytest.raises(SequenceError, match=r"0003\.png: not a readable image"):
        sequence.read(2)


def test_frames_are_paired_with_boxes_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path / "Gamma/img", range(1, 13), "{}.png")
    write(tmp_path / "Gamma/groundtruth_rect.txt", rows(12))
    assert [file.stem for file in read_otb(tmp_path / "Gamma").frames.files] == [str(i) for i in range(1, 13)]


@pytest.mark.parametrize(
    ("name", "on_disk", "boxes", "first", "last", "first_row"),
    [
        ("David", (1, 770), 471, 300, 770, 1),
        ("david", (300, 770), 471, 300, 770, 1),  # a copy with only the annotated frames
        ("David", (1, 471), 471, 1, 471, 1),  # a copy with new frame numbers
        ("Football1", (1, 81), 74, 1, 74, 1),
        ("Freeman3", (1, 474), 460, 1, 460, 1),
        ("Freeman4", (1, 297), 283, 1, 283, 1),
        ("Diving", (1, 231), 215, 1, 215, 1),
        ("Tiger1", (1, 354), 354, 6, 354, 6),
        ("Tiger1", (1, 354), 349, 6, 354, 1),
        ("Tiger1", (6, 354), 354, 6, 354, 6),
        ("BlurCar1", (247, 988), 742, 247, 988, 1),
    ],
)
def test_otb_uses_only_annotated_frames(
    tmp_path: Path, name: str, on_disk: tuple[int, int], boxes: int, first: int, last: int, first_row: int
) -> None:
    touch(tmp_path / name / "img", range(on_disk[0], on_disk[1] + 1))
    write(tmp_path / name / "groundtruth_rect.txt", rows(boxes))
    (sequence,) = open_dataset("otb", tmp_path)
    assert sequence.name == name[0].upper() + name[1:]
    assert [int(f.stem) for f in sequence.frames.files] == list(range(first, last + 1))
    assert sequence.boxes[0].tolist() == [first_row - 1, 19, 30, 40]
    assert len(sequence.boxes) == len(sequence)


def test_otb_reads_two_targets_in_a_folder_and_ignores_empty_files(tmp_path: Path) -> None:
    for folder, truths in {"Jogging": (rows(2), rows(2, first=50)), "human4": ("\n", rows(2))}.items():
        touch(tmp_path / folder / "img", [1, 2])
        for k, text in enumerate(truths, start=1):
            write(tmp_path / folder / f"groundtruth_rect.{k}.txt", text)
    write(tmp_path / "anno/att/jogging-2.txt", "0,1,0,1,1,0,0,0,0,0,0\n")
    by_name = {s.name: s for s in open_dataset("otb", tmp_path)}
    assert list(by_name) == ["Human4", "Jogging-1", "Jogging-2"]
    assert (by_name["Jogging-1"].boxes[0, 0], by_name["Jogging-2"].boxes[0, 0]) == (0, 49)
    assert by_name["Jogging-2"].attributes == ("OPR", "OCC", "DEF")
    assert by_name["Jogging-1"].attributes == ()
    write(tmp_path / "anno/att/jogging-1.txt", "0,1,0\n")
    with pytest.raises(SequenceError, match=r"jogging-1\.txt: has 3 numbers; must have 11"):
        open_dataset("otb", tmp_path)


def test_otb_with_a_folder_for_each_of_two_targets(tmp_path: Path) -> None:
    for folder in ("Skating2-1", "Skating2-2"):
        touch(tmp_path / folder / "img", [1])
        for k in (1, 2):
            write(tmp_path / folder / f"groundtruth_rect.{k}.txt", rows(1, first=10 * k))
    assert [(s.name, s.boxes[0, 0]) for s in open_dataset("otb", tmp_path)] == [("Skating2-1", 9), ("Skating2-2", 19)]


def test_an_incomplete_subset_reports_its_size(tmp_path: Path) -> None:
    """The published counts: 51 targets in OTB-2013, 100 in OTB-2015, 50 in OTB-50."""
    for name in ("coke", "Panda", "Mine"):
        touch(tmp_path / name / "img", [1])
        write(tmp_path / name / "groundtruth_rect.txt", rows(1))
    for subset, names, total in [
        ("otb2013", ["Coke"], 51),
        ("OTB2015", ["Panda", "Coke"], 100),
        ("otb100", ["Panda", "Coke"], 100),
        ("otb50", ["Panda"], 50),
    ]:
        dataset = open_dataset("otb", tmp_path, subset=subset)
        assert [s.name for s in dataset] == names
        assert len(dataset.missing) == total - len(names)
        assert dataset.note == f"{len(names)} of {total} sequences of {subset} are on disk"
    everything = open_dataset("otb", tmp_path)
    assert [s.name for s in everything] == ["Coke", "Mine", "Panda"]
    assert (everything.missing, everything.note) == ((), "")
    assert [s.name for s in open_dataset("otb", tmp_path, ["PANDA"], "otb2015")] == ["Panda"]


@pytest.mark.shared
@pytest.mark.parametrize(("folder", "count"), [("otb", 11), ("sequences", 10)])
def test_real_sequences_are_complete(shared: Path, folder: str, count: int) -> None:
    dataset = open_dataset("otb", shared / "data" / folder)
    assert len(dataset) == count
    for sequence in dataset:
        assert len(sequence) == len(sequence.boxes) > 50
        height, width = sequence.read(0).shape[:2]
        x, y, w, h = sequence.boxes[0]
        assert 0 <= x < x + w <= width, sequence.name
        assert 0 <= y < y + h <= height, sequence.name


@pytest.mark.shared
def test_real_otb_data_match_the_benchmark(shared: Path) -> None:
    dataset = open_dataset("otb", shared / "data/otb", subset="otb2015")
    assert dataset.note == "11 of 100 sequences of otb2015 are on disk"
    david = next(s for s in dataset if s.name == "David")
    assert (david.frames.files[0].stem, len(david)) == ("0300", 471)
    frame = cv2.imread(str(david.frames.files[9]))
    np.testing.assert_array_equal(david.read(9), frame)
