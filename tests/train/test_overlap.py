"""Finds the videos that are also in a test set, also under another name or compression, and no others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_train.footage.overlap import fingerprint, overlapping
from dcfnet_train.footage.videos import Video, open_sequences, read_footage

from tests.evaluation.trees import rows, touch, write
from tests.train.footage import make_otb_dataset, make_otb_sequence
from tests.train.test_loop import SMALL
from tests.train.test_loop import run as command


def copy_smaller(source: Path, target: Path) -> None:
    """A copy at three quarters of the size, compressed, as in another data set."""
    (target / "img").mkdir(parents=True)
    for file in sorted((source / "img").iterdir()):
        small = cv2.resize(cv2.imread(str(file)), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(target / "img" / f"{file.stem}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 50])
    boxes = np.loadtxt(source / "groundtruth_rect.txt", delimiter=",") * 0.75
    np.savetxt(target / "groundtruth_rect.txt", boxes, delimiter=",")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of footage (a copy, a namesake, one of its own) and of a test set."""
    root = tmp_path_factory.mktemp("overlap")
    make_otb_dataset(root / "test", 22, ("Shown", "Named", "Kept"))
    (root / "test" / "Kept").rename(root / "away")
    (root / "footage").mkdir()
    copy_smaller(root / "test" / "Shown", root / "footage" / "video_17")
    (root / "away").rename(root / "footage" / "Kept")
    make_otb_sequence(root / "footage" / "named", length=22, seed=7)
    return root / "footage", root / "test"


def test_copies_and_equal_names_are_found(places: tuple[Path, Path]) -> None:
    footage, test = places
    found = overlapping(read_footage(str(footage)), open_sequences(str(test)))
    assert found == {"video_17": "shares frames with Shown", "named": "has the same name as Named"}
    assert overlapping(read_footage(str(footage)), []) == {}


def test_the_command_excludes_and_reports_them(places: tuple[Path, Path], tmp_path: Path) -> None:
    footage, test = places
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "synthetic": 0.0, "steps": 1}.items()]
    data = ["--videos", footage, *sets, "--workers", 0]
    code, text = command(*data, "--exclude", test, "--output", tmp_path / "a")
    assert code == 0, text
    assert "excluded: video_17 shares frames with Shown" in text
    assert "Kept" not in text
    code, text = command(*data, "--validate", f"otb:{test}", "--output", tmp_path / "b")
    assert code == 1
    assert "--videos and --validate share videos: named has the same name as Named; video_17 shares frames" in text
    assert "exclude them with --exclude" in text


def test_blank_frames_have_no_fingerprint() -> None:
    assert fingerprint(np.full((90, 120, 3), 200, np.uint8)) is None


def test_footage_in_the_layouts_of_data_sets(tmp_path: Path) -> None:
    """LAYOUT:FOLDER and LAYOUT:SUBSET:FOLDER. Frames without the target are read but not usable."""
    place = tmp_path / "lasot" / "cat" / "cat-2"
    touch(place / "img", range(1, 6), "{:08d}.jpg")
    write(place / "groundtruth.txt", "1,2,30,40\n2,2,30,40\n3,2,30,40\n4,2,30,40\n5,2,30,40\n")
    write(place / "full_occlusion.txt", "0,1,0,0,0")
    write(place / "out_of_view.txt", "0,0,1,0,0")
    (video,) = read_footage(f"lasot:{tmp_path / 'lasot'}")
    assert (video.name, video.usable().tolist()) == ("cat-2", [0, 3, 4])
    for name in ("train", "val"):
        touch(tmp_path / "got" / name / f"GOT-10k_{name}_1", range(1, 4), "{:08d}.jpg")
        write(tmp_path / "got" / name / f"GOT-10k_{name}_1" / "groundtruth.txt", rows(3))
    assert [v.name for v in read_footage(f"got10k:train:{tmp_path / 'got'}")] == ["GOT-10k_train_1"]
    assert [s.name for s in open_sequences(f"got10k:val:{tmp_path / 'got'}")] == ["GOT-10k_val_1"]
    with pytest.raises(SequenceError, match=r"contains several subsets; choose one .*: train, val"):
        read_footage(f"got10k:{tmp_path / 'got'}")
    with pytest.raises(SequenceError, match="no such folder"):
        open_sequences(f"lasot:{tmp_path / 'none'}")


def test_a_sequence_becomes_a_video(places: tuple[Path, Path]) -> None:
    (sequence, *_) = open_dataset("otb", places[1])
    video = Video.of(sequence)
    assert (video.name, len(video.usable()), video.times[-1]) == (sequence.name, 22, 21)
