"""Dataset layouts: boxes of all benchmarks become 0-based, and NaN if the target is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet.io.sinks.boxes import BoxWriter
from dcfnet.result import Box
from dcfnet_evaluation.datasets import LAYOUTS, open_dataset
from dcfnet_evaluation.sequences import SequenceError, read_boxes

from tests.evaluation.trees import NAN, render_video, rows, touch, write
from tests.runtime.inputs import encode, write_images


def test_files_that_do_not_match_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "Gamma/img", [1, 3])
    write(tmp_path / "Gamma/groundtruth_rect.txt", rows(3))
    with pytest.raises(
        SequenceError, match=r"Gamma: 2 frames but 3 boxes; frame 2 is missing .* 0001.jpg and 0003.jpg"
    ):
        open_dataset("otb", tmp_path)
    write(tmp_path / "Gamma/groundtruth_rect.txt", rows(2))
    with pytest.raises(SequenceError, match=r"Gamma: frame 2 is missing"):
        open_dataset("otb", tmp_path)
    write(tmp_path / "Delta/groundtruth_rect.txt", rows(1))
    with pytest.raises(SequenceError, match="Delta: has no folder img/"):
        open_dataset("otb", tmp_path, ["Delta"])  # an invalid neighbour does not matter
    touch(tmp_path / "Late/img", [1, 2])
    write(tmp_path / "Late/groundtruth_rect.txt", "0,0,0,0\n1,2,3,4\n")
    with pytest.raises(SequenceError, match="Late: the first frame has no box"):
        open_dataset("otb", tmp_path, ["Late"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_sequences_is_an_error_with_the_layout(tmp_path: Path, layout: str) -> None:
    with pytest.raises(SequenceError, match=rf"no sequences in the layout {layout}; expected .*(NAME|boxes\.csv)"):
        open_dataset(layout, tmp_path)
    with pytest.raises(SequenceError, match=r"none: no sequences .*no such folder"):
        open_dataset(layout, tmp_path / "none")
    with pytest.raises(SequenceError, match=f"no subset 'nix' of {layout}; (choose from|this layout has none)"):
        open_dataset(layout, tmp_path, subset="nix")


def test_errors_for_unknown_names_and_layouts_list_the_known_ones(tmp_path: Path) -> None:
    for name in ("Alpha", "Beta"):
        touch(tmp_path / name / "img", [1])
        write(tmp_path / name / "groundtruth_rect.txt", rows(1))
    with pytest.raises(SequenceError, match="no sequence Delta; choose from Alpha, Beta"):
        open_dataset("otb", tmp_path, ["beta", "Delta"])
    with pytest.raises(SequenceError, match="no layout 'tb'; choose from otb, vot"):
        open_dataset("tb", tmp_path)
    assert [s.name for s in open_dataset("otb", tmp_path, ["beta", "ALPHA"])] == ["Beta", "Alpha"]


def test_vot_rectangles_polygons_masks_and_codes(tmp_path: Path) -> None:
    touch(tmp_path / "ball", range(1, 7), "{:08d}.jpg")
    polygon = "10,40,20,10,50,20,40,50"
    write(tmp_path / "ball/groundtruth.txt", f"{polygon}\n1,2,3,4\nnan,nan,nan,nan\n0\n1\nm5,6,7,8,0,56\n")
    (tmp_path / "ball/._occlusion.tag").write_bytes(b"\xff what a Mac leaves behind")
    write(tmp_path / "ball/occlusion.tag", "0\n0\n1\n0\n0\n0\n")
    write(tmp_path / "ball/camera_motion.label", "0\n0\n")
    touch(tmp_path / "car/color", range(1, 3), "{:08d}.jpg")
    touch(tmp_path / "car/depth", range(1, 3), "{:08d}.png")
    write(tmp_path / "car/groundtruth.txt", "0,0,3,4\n")
    write(tmp_path / "car/sequence", "name=car\nchannels.color=color/%08d.jpg\nfps=30\n")
    write(tmp_path / "other/groundtruth.txt", rows(1))
    write(tmp_path / "list.txt", "car\nball\ngone\n")
    dataset = open_dataset("vot", tmp_path)
    car, ball = dataset
    assert dataset.missing == ("gone",)
    assert (car.name, ball.name, len(car)) == ("car", "ball", 2)
    np.testing.assert_array_equal(ball.boxes, [[10, 10, 41, 41], [1, 2, 3, 4], NAN, NAN, NAN, [5, 6, 7, 8]])
    np.testing.assert_array_equal(car.boxes, [[0, 0, 3, 4], NAN])
    assert ball.attributes == ("occlusion",)
    write(tmp_path / "car/sequence", "channels.color=rgb/%08d.jpg\n")
    with pytest.raises(SequenceError, match="rgb: no such folder, but the file sequence names it"):
        open_dataset("vot", tmp_path, ["car"])
    for name in ("9" * 5000, "a\0b"):
        write(tmp_path / "car/sequence", f"channels.color={name}\n")
        with pytest.raises(SequenceError, match="no such folder, but the file sequence names it"):
            open_dataset("vot", tmp_path, ["car"])
    write(tmp_path / "ball/groundtruth.txt", "m5,6,7\n" * 6)
    with pytest.raises(SequenceError, match=r"groundtruth.txt:1: 'm5,6,7': a mask starts with m and its x,y,w,h"):
        open_dataset("vot", tmp_path, ["ball"])
    write(tmp_path / "ball/groundtruth.txt", f"{polygon}\n1,2,3\n")
    with pytest.raises(SequenceError, match=r"groundtruth\.txt:2: '1,2,3': must be"):
        open_dataset("vot", tmp_path, ["ball"])


def test_a_number_of_frames_that_is_nan_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "nus/a", range(1, 4))
    write(tmp_path / "nus/a/groundtruth.txt", "1,2,30,40\n" * 3)
    write(tmp_path / "nus/a/datainfo.txt", "640\n480\nnan\n")
    with pytest.raises(SequenceError, match=r"datainfo.txt: .*the third must be the number of annotated frames"):
        open_dataset("nus-pro", tmp_path / "nus")
    touch(tmp_path / "tc/b/img", range(1, 4))
    write(tmp_path / "tc/b/b_gt.txt", rows(3))
    write(tmp_path / "tc/b/b_frames.txt", "1,nan\n")
    with pytest.raises(SequenceError, match=r"b_frames.txt: .*with the numbers of the first and last frame"):
        open_dataset("tc128", tmp_path / "tc")


def test_got10k_absent_and_hidden_targets_are_nan(tmp_path: Path) -> None:
    val, test = tmp_path / "val/GOT-10k_Val_000001", tmp_path / "test/GOT-10k_Test_000001"
    touch(val, range(1, 6), "{:08d}.jpg")
    write(val / "groundtruth.txt", "11.0,21.0,30.0,40.0\n12,22,30,40\n13,23,30,40\n-1,-1,-1,-1\n1,1,5,5\n")
    write(val / "absence.label", "0\n1\n0\n0\n0\n")
    write(val / "cover.label", "8\n7\n0\n8\n1\n")
    touch(test, range(1, 4), "{:08d}.jpg")
    write(test / "groundtruth.txt", "1,1,30,40\n")
    write(tmp_path / "val/list.txt", f"{val.name}\nGOT-10k_Val_000002\n")
    (sequence,) = dataset = open_dataset("got10k", tmp_path, subset="val")
    np.testing.assert_array_equal(sequence.boxes, [[10, 20, 30, 40], NAN, NAN, NAN, [0, 0, 5, 5]])
    assert dataset.note == "1 of 2 sequences of val are on disk"
    np.testing.assert_array_equal(open_dataset("got10k", tmp_path / "test")[0].boxes, [[0, 0, 30, 40], NAN, NAN])
    with pytest.raises(SequenceError, match="contains several subsets; choose one of its subsets: val, test"):
        open_dataset("got10k", tmp_path)
    write(val / "cover.label", "8\n")
    with pytest.raises(SequenceError, match=r"cover\.label: has 1 numbers; must have 5"):
        open_dataset("got10k", tmp_path, subset="val")


def test_uav123_cuts_sequences_from_their_folder(tmp_path: Path) -> None:
    frames, truths = tmp_path / "data_seq/UAV123", tmp_path / "anno/UAV123"
    touch(frames / "bird1", range(1, 2438), "{:06d}.jpg")
    touch(frames / "wakeboard10", range(1, 3), "{:06d}.jpg")
    write(truths / "bird1_2.txt", rows(703))
    write(truths / "wakeboard10.txt", "5,6,7,8\nNaN,NaN,NaN,NaN\n")
    write(truths / "boat1.txt", rows(1))
    write(truths / "att/wakeboard10.txt", "1,0,0,1,0,0,0,0,0,0,0,1\n")
    write(tmp_path / "anno/UAV20L/bird1.txt", rows(2437))
    bird, wakeboard = dataset = open_dataset("uav123", tmp_path)
    assert [int(bird.frames.files[i].stem) for i in (0, -1)] == [775, 1477]
    np.testing.assert_array_equal(wakeboard.boxes, [[4, 5, 7, 8], NAN])
    assert wakeboard.attributes == ("SV", "FM", "SOB")
    assert dataset.missing == ("boat1",)
    (bird1,) = open_dataset("uav123", tmp_path, subset="UAV20L")
    assert (bird1.name, len(bird1)) == ("bird1", 2437)
    write(truths / "bird1_2.txt", rows(700))
    with pytest.raises(SequenceError, match="703 frames but 700 boxes"):
        open_dataset("uav123", tmp_path)


def test_tc128_uses_its_frame_range(tmp_path: Path) -> None:
    touch(tmp_path / "Ball_ce/img", range(1, 9))
    write(tmp_path / "Ball_ce/Ball_ce_frames.txt", "3,5\n")
    write(tmp_path / "Ball_ce/ball_ce_gt.txt", rows(3))
    (sequence,) = open_dataset("tc128", tmp_path)
    assert [int(f.stem) for f in sequence.frames.files] == [3, 4, 5]
    assert sequence.boxes[0].tolist() == [0, 19, 30, 40]
    (tmp_path / "Ball_ce/img/0004.jpg").unlink()
    with pytest.raises(SequenceError, match="2 frames but 3 boxes; frame 4 is missing"):
        open_dataset("tc128", tmp_path)


def test_nus_pro_corners_and_full_occlusion(tmp_path: Path) -> None:
    touch(tmp_path / "airplane_001", range(1, 5), "{:05d}.jpg")
    write(tmp_path / "airplane_001/groundtruth.txt", "11 21 41 61\n12 22 42 62\n13 23 43 63\n")
    write(tmp_path / "airplane_001/occlusion.txt", "0\n1\n2\n")
    write(tmp_path / "airplane_001/datainfo.txt", "1280,720,3\n")
    (sequence,) = open_dataset("nus-pro", tmp_path)
    np.testing.assert_array_equal(sequence.boxes, [[10, 20, 30, 40], [11, 21, 30, 40], NAN])
    assert len(sequence) == 3


def test_lasot_absent_targets_and_lists(tmp_path: Path) -> None:
    for name in ("cat-2", "cat-10", "dog-1"):
        place = tmp_path / name.split("-")[0] / name
        touch(place / "img", range(1, 6), "{:08d}.jpg")
        write(place / "groundtruth.txt", "1,2,3,4\n2,2,3,4\n3,2,3,4\n613,731,247,-11\n5,2,3,4\n")
        write(place / "full_occlusion.txt", "0,1,0,0,0")
        write(place / "out_of_view.txt", "0,0,1,0,0")
    dataset = open_dataset("lasot", tmp_path)
    assert [s.name for s in dataset] == ["cat-2", "cat-10", "dog-1"]
    np.testing.assert_array_equal(dataset[0].boxes, [[0, 1, 3, 4], NAN, NAN, NAN, [4, 1, 3, 4]])
    with pytest.raises(SequenceError, match=r"testing_set\.txt: no such file"):
        open_dataset("lasot", tmp_path, subset="test")
    write(tmp_path / "testing_set.txt", "dog-1\nyoyo-1\n")
    assert open_dataset("lasot", tmp_path, subset="test").missing == ("yoyo-1",)


def test_plain_videos_with_the_boxes_of_dcfnet_run(tmp_path: Path) -> None:
    render_video(tmp_path / "mine/drive.mp4", 20)
    with BoxWriter(tmp_path / "mine/boxes.csv") as truth:
        for i in range(20):
            truth.write(i, Box(i, 2, 3, 4))
    for root in (tmp_path, tmp_path / "mine"):
        (sequence,) = open_dataset("plain", root)
        assert (sequence.name, len(sequence)) == ("mine", 20)
        assert sequence.boxes[7].tolist() == [7, 2, 3, 4]
    (tmp_path / "mine/boxes.csv").rename(tmp_path / "mine/drive.csv")
    assert [s.name for s in open_dataset("plain", tmp_path)] == ["drive"]
    assert [s.name for s in open_dataset("plain", tmp_path / "mine/drive.mp4")] == ["drive"]
    (tmp_path / "mine/._drive.mp4").write_bytes(b"what a Mac leaves behind")
    write(tmp_path / "mine/drive.csv", rows(10))
    with pytest.raises(SequenceError, match=r"drive\.mp4: 20 frames but 10 boxes in drive\.csv"):
        open_dataset("plain", tmp_path)


def test_plain_folders_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "a", [0, 5, 10], "{:02d}.png")  # every fifth frame
    write(tmp_path / "a/groundtruth.txt", "0,0,3,4\nnan,nan,nan,nan\n0,0,0,0\n")
    touch(tmp_path / "b/frames", [1, 2])
    write(tmp_path / "b/boxes.csv", "frame, x, y, w, h\n0,1,2,3,4\n1,,,,\n")
    write(tmp_path / "readme.txt", "mine")
    with pytest.raises(SequenceError, match=r"boxes\.csv:3: "):
        open_dataset("plain", tmp_path)
    write(tmp_path / "b/boxes.csv", "frame, x, y, w, h\n0,1,2,3,4\n2,1,2,3,4\n")
    with pytest.raises(SequenceError, match=r"boxes\.csv:3: frame 2; must be 1; add a row"):
        open_dataset("plain", tmp_path)
    write(tmp_path / "b/boxes.csv", "frame,x,y,w,h\n0,0.0,10;22,0,4.40\n1,1,2,3,4\n")
    with pytest.raises(SequenceError, match=r"boxes\.csv:2: has 5 numbers in x, y, w, h; must have one in each"):
        open_dataset("plain", tmp_path)
    write(tmp_path / "b/boxes.csv", "frame, x, y, w, h\n0, 1, 2, 3, 4\n1,nan,nan,nan,nan\n")
    first, second = open_dataset("plain", tmp_path)
    np.testing.assert_array_equal(first.boxes, [[0, 0, 3, 4], NAN, NAN])
    np.testing.assert_array_equal(second.boxes, [[1, 2, 3, 4], NAN])
    assert [s.name for s in open_dataset("plain", tmp_path / "a")] == ["a"]
    touch(tmp_path / "b/more", [1])
    with pytest.raises(
        SequenceError, match=r"boxes\.csv: must belong to one sequence, but .* contains frames, more; .* NAME\.csv"
    ):
        open_dataset("plain", tmp_path)


def test_plain_invalid_video_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "text.csv", rows(5))
    write(tmp_path / "text.mp4", "no video")
    with pytest.raises(SequenceError, match=r"text\.mp4: cannot be opened"):
        open_dataset("plain", tmp_path)


def test_plain_counts_the_frames_of_a_video_whose_container_claims_more(tmp_path: Path) -> None:
    """A variable rate: the container claims duration x rate frames."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    times = [33 * t for t in range(10)] + [330 + 100 * t for t in range(10)]
    encode(tmp_path / "drive.mkv", list(noise), times=times)
    with BoxWriter(tmp_path / "drive.csv") as truth:
        for i in range(20):
            truth.write(i, Box(i, 2, 3, 4), time=times[i] / 1000)
    (sequence,) = open_dataset("plain", tmp_path)
    assert len(sequence) == 20
    assert sequence.read(19).shape == (48, 64, 3)
    assert sequence.read(3).shape == (48, 64, 3)  # a step back
    write(tmp_path / "drive.csv", rows(22))
    with pytest.raises(SequenceError, match=r"drive\.mkv: 20 frames but 22 boxes"):
        open_dataset("plain", tmp_path)


def test_plain_refuses_two_series_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "a", [1, 2], "{:02d}.png")
    touch(tmp_path / "a", [1, 2], "{:02d}_mask.png")
    write(tmp_path / "a/boxes.csv", rows(4))
    with pytest.raises(SequenceError, match="a sequence needs one kind"):
        open_dataset("plain", tmp_path)


def test_all_images_of_a_sequence_have_the_levels_of_its_first(tmp_path: Path) -> None:
    ramp = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) // 12 + 7000
    write_images(tmp_path / "a", [ramp, ramp + 20], ["1.png", "2.png"])
    write(tmp_path / "a/boxes.csv", rows(2))
    (sequence,) = open_dataset("plain", tmp_path)
    second, first = sequence.read(1), sequence.read(0)
    assert np.ptp(first) > 180
    assert second.mean() > first.mean() + 5


def test_trackingnet_parts_and_boxes(tmp_path: Path) -> None:
    for part, name, count in (("TRAIN_0", "abc_0", 3), ("TEST", "xyz_1", 1)):
        touch(tmp_path / part / "frames" / name, range(3), "{}.jpg")
        write(tmp_path / part / "anno" / f"{name}.txt", rows(count))
    (tmp_path / "TRAIN_0/zips").mkdir()
    one, two = open_dataset("trackingnet", tmp_path)
    assert (one.name, two.name) == ("xyz_1", "abc_0")
    assert np.isnan(one.boxes[1:]).all()
    np.testing.assert_array_equal(two.boxes, read_boxes(tmp_path / "TRAIN_0/anno/abc_0.txt"))
    assert [s.name for s in open_dataset("trackingnet", tmp_path, subset="train")] == ["abc_0"]
    assert [s.name for s in open_dataset("trackingnet", tmp_path / "TEST")] == ["xyz_1"]


def corners(*tracks: tuple[int, tuple[int, int, int, int]]) -> str:
    """An ILSVRC box file. tracks: track and xmin, ymin, xmax, ymax."""
    objects = [
        f"<object><trackid>{track}</trackid><name>n02084071</name><bndbox><xmax>{x2}</xmax><xmin>{x1}</xmin>"
        f"<ymax>{y2}</ymax><ymin>{y1}</ymin></bndbox><occluded>1</occluded><generated>1</generated></object>"
        for track, (x1, y1, x2, y2) in tracks
    ]
    return f"<annotation>\n<filename>000000</filename>{''.join(objects)}</annotation>\n"


def ilsvrc(root: Path) -> tuple[Path, Path]:
    """A snippet of five frames with two tracks, a snippet of val, and the links of trackers' setup instructions."""
    part = "VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00005009"
    images, boxes = root / "Data" / part, root / "Annotations" / part
    touch(images, range(5), "{:06d}.JPEG")
    first, second = (0, (0, 10, 29, 49)), (11, (5, 5, 5, 5))
    for frame, tracks in enumerate(([first], [first, second], [second], [], [first, (11, (5, 5, 4, 9))])):
        write(boxes / f"{frame:06d}.xml", corners(*tracks))
    touch(root / "Data/VID/val/ILSVRC2015_val_00000001", range(2), "{:06d}.JPEG")
    for frame in range(2):
        write(root / f"Annotations/VID/val/ILSVRC2015_val_00000001/{frame:06d}.xml", corners(first))
    for kind in ("Data", "Annotations"):
        (root / kind / "VID/train/a").symlink_to(root / kind / "VID/train/ILSVRC2015_VID_train_0000")
        (root / kind / "VID/train/e").symlink_to(root / kind / "VID/val")
    return images, boxes


def test_ilsvrc_every_track_is_a_sequence(tmp_path: Path) -> None:
    images, _ = ilsvrc(tmp_path)
    target, other = open_dataset("ilsvrc_vid", tmp_path, subset="train")
    assert (target.name, other.name) == ("ILSVRC2015_train_00005009.0", "ILSVRC2015_train_00005009.11")
    box = [0, 10, 30, 40]  # the last pixel is inside
    np.testing.assert_array_equal(target.boxes, [box, box, NAN, NAN, box])
    np.testing.assert_array_equal(other.boxes, [[5, 5, 1, 1], [5, 5, 1, 1]])
    assert [file.name for file in other.frames.files] == ["000001.JPEG", "000002.JPEG"]
    assert [s.name for s in open_dataset("ilsvrc_vid", tmp_path, subset="val")] == ["ILSVRC2015_val_00000001.0"]
    assert len(open_dataset("ilsvrc_vid", tmp_path)) == 3
    (images / "000001.JPEG").unlink()
    with pytest.raises(SequenceError, match=r"00005009: 4 frames but 5 boxes; frame 1 is missing"):
        open_dataset("ilsvrc_vid", tmp_path, subset="train")


@pytest.mark.parametrize("text", ["<annotation>", corners((0, (1, 2, 3, 4))).replace("<xmin>1</xmin>", ""), "no XML"])
def test_ilsvrc_invalid_box_file_is_an_error(tmp_path: Path, text: str) -> None:
    _, boxes = ilsvrc(tmp_path)
    write(boxes / "000003.xml", text)
    with pytest.raises(SequenceError, match=r"000003\.xml: not a box file with xmin"):
        open_dataset("ilsvrc_vid", tmp_path, subset="train")
