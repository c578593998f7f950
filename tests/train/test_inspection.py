"""All faults of the footage are reported together, with file names, before the first step."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet_train.crops.cutting import make_cache
from dcfnet_train.footage.crop_manifest import CropSettings
from dcfnet_train.footage.inspection import describe_boxes, inspect
from dcfnet_train.footage.videos import read_videos
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import LAST

from tests.evaluation.trees import render_video
from tests.train.footage import make_otb_sequence, make_photos
from tests.train.test_loop import SMALL
from tests.train.test_loop import run as command

SETS = [f"--set={name}={value}" for name, value in {**SMALL, "synthetic": 0.5, "steps": 1}.items()]


def make_clip(folder: Path, *boxes: str) -> None:
    """A clip of colour noise with these boxes, 0-based."""
    folder.mkdir(parents=True)
    for i in range(len(boxes)):
        noise = np.random.default_rng(i).integers(60, 200, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i + 1:03d}.png"), noise)
    rows = [f"{i},{box}" for i, box in enumerate(boxes)]
    (folder / "boxes.csv").write_text("\n".join(["source_frame,x,y,w,h", *rows]) + "\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        make_otb_sequence(tmp_path / "videos" / name, length=6)
    make_photos(tmp_path / "photos", count=3)
    return tmp_path


def train(place: Path, *more: object) -> tuple[int, str]:
    data = ["--videos", place / "videos", "--photos", place / "photos", "--output", place / "run", "--workers", 0]
    return command(*data, *SETS, *more)


def test_all_broken_images_are_reported_before_the_run_starts(place: Path) -> None:
    broken = [place / name for name in ("videos/one/img/0001.png", "videos/two/img/0006.png", "photos/2.png")]
    for file in broken:
        file.write_bytes(b"no image")
    code, text = train(place)
    assert code == 1
    assert "the footage cannot be used for training:" in text
    assert all(str(file.relative_to(place)) in text.replace("\n", "") for file in broken)
    assert "Traceback" not in text
    assert not (place / "run" / LAST).exists()


def test_every_image_is_read_with_verify(place: Path) -> None:
    (place / "videos/one/img/0003.png").write_bytes(b"")
    (place / "photos/1.png").write_bytes(b"no image")
    videos, photos = read_videos(place / "videos"), sorted((place / "photos").iterdir())
    read: list[int] = []
    assert inspect(videos, photos, Recipe(), seen=read.append).faults == ()
    assert sum(read) == 4
    found = inspect(videos, photos, Recipe(), every=True).faults
    assert [Path(fault.split(":")[0]).name for fault in found] == ["0003.png", "1.png"]
    code, text = train(place, "--verify")
    assert code == 1
    assert "0003.png: not a readable image" in text.replace("\n", "")
    assert not (place / "run" / LAST).exists()


def test_bad_boxes_are_counted_and_reported(place: Path) -> None:
    make_clip(place / "videos/clip", "20,20,16,16", "20,20,0,16", "20,20,16,16", "nan,nan,nan,nan", "20,20,3,16")
    make_clip(place / "videos/nothing", "20,20,16,-1", "20,20,inf,16")
    make_clip(place / "videos/outside", "70,20,16,16", "20,20,16,16")
    descriptions = {video.name: describe_boxes(video) for video in read_videos(place / "videos")}
    assert descriptions["one"] == descriptions["outside"] == ""
    assert descriptions["clip"] == (
        "clip: 5 frames, 2 without a target or with an empty box (first: frame 1), "
        "1 with a box under 4 px (first: frame 4)"
    )
    assert "no usable frame" in descriptions["nothing"]
    code, text = train(place)
    assert code == 0, text
    assert f"skipped: {descriptions['clip']}" in text
    assert f"skipped: {descriptions['nothing']}" in text
    assert "skipped: outside: the box of frame 0 is outside its 64 x 64 px" in text


def test_footage_without_any_usable_box_is_refused(tmp_path: Path) -> None:
    make_clip(tmp_path / "videos/nothing", "20,20,16,-1", "20,20,0,16")
    code, text = command("--videos", tmp_path / "videos", "--output", tmp_path / "run", "--set=synthetic=0")
    assert code == 1
    assert "skipped: nothing: 2 frames, 2 without a target" in text
    assert "no video with a usable box" in text


def test_long_lists_are_cut(tmp_path: Path) -> None:
    for i in range(13):
        make_clip(tmp_path / f"videos/{i:02d}", "20,20,16,16", "20,20,0,16")
    code, text = command("--videos", tmp_path / "videos", "--output", tmp_path / "run", *SETS, "--set=synthetic=0")
    assert code == 0, text
    assert text.count("skipped: ") == 11
    assert "skipped: 3 more" in text


def test_a_recipe_that_needs_more_than_the_crops_show_is_refused(place: Path) -> None:
    make_cache(read_videos(place / "videos"), ["v"], CropSettings(around=3), place / "crops")
    videos = read_videos(place / "crops")
    assert inspect(videos, [], Recipe(padding=1.5, displacement=0.2)).faults == ()
    (fault,) = inspect(videos, [], Recipe()).faults
    assert "padding=2 and displacement=0.3 need 3.6; cut them again with dcfnet-crops --around 4" in fault


def test_a_damaged_cache_is_detected_by_its_hashes(place: Path) -> None:
    make_cache(read_videos(place / "videos"), ["v"], CropSettings(image="png"), place / "crops")
    image = place / "crops/two/000003.png"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    data = ["--videos", place / "crops", "--output", place / "run", "--workers", 0, *SETS, "--set=synthetic=0"]
    assert command(*data, "--verify") == (
        1,
        f"dcfnet-train: {place / 'crops'}: two differs from its hash; run dcfnet-crops again to replace the clips\n",
    )
    assert command(*data)[0] == 0


def test_the_last_frame_of_a_video_file_is_checked(tmp_path: Path) -> None:
    """The file of boxes has more rows than the video has frames."""
    from dcfnet_train.footage.videos import read_footage

    render_video(tmp_path / "drive.mp4", 20)
    (tmp_path / "drive.csv").write_text("\n".join(["4,4,20,20"] * 20))
    (video,) = read_footage(f"plain:{tmp_path}")
    assert inspect([video], [], Recipe()).faults == ()
    longer = type(video)(
        video.name, type(video.frames)(tmp_path / "drive.mp4", 22), np.tile(video.boxes[:1], (22, 1)), np.arange(22)
    )
    (fault,) = inspect([longer], [], Recipe()).faults
    assert "frame 21 cannot be decoded" in fault
