"""Held-out videos: whole videos, independent of the other videos, and in no pair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dcfnet.errors import ConfigError
from dcfnet_evaluation.sequences import ImageFrames
from dcfnet_train.checkpoint import load_checkpoint
from dcfnet_train.crops.cutting import make_cache
from dcfnet_train.footage import Footage
from dcfnet_train.footage.crop_manifest import CropSettings
from dcfnet_train.footage.split import hold_out, origin
from dcfnet_train.footage.videos import Video, read_videos
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import BEST, LOG

from tests.train.footage import make_otb_sequence
from tests.train.test_loop import SMALL
from tests.train.test_loop import run as command

SHARE = 0.4


def named(*names: str) -> list[Video]:
    return [Video(name, ImageFrames(()), np.ones((1, 4)), np.arange(1)) for name in names]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered sequences, and a copy of a held-out sequence under another name."""
    root = tmp_path_factory.mktemp("split") / "videos"
    for seed in range(6):
        make_otb_sequence(root / f"clip{seed}", length=20, seed=seed)
    _, held_out = hold_out(read_videos(root), SHARE)
    assert 0 < len(held_out) < 6
    names = (f"copy_{i}" for i in range(100))
    name = next(name for name in names if len(held_out_with(root, name)) == len(held_out))
    (root / name).symlink_to(root / held_out[0].name)
    return root


def held_out_with(root: Path, name: str) -> list[Video]:
    """The held-out videos after the addition of one video."""
    return hold_out([*read_videos(root), *named(name)], SHARE)[1]


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("ILSVRC2015_train_00005009.0", "ILSVRC2015_train_00005"),
        ("ILSVRC2015_train_00005011.3", "ILSVRC2015_train_00005"),
        ("ILSVRC2017_train_00005011.3", "ILSVRC2017_train_00005"),
        ("ILSVRC2015_val_00030000.12", "ILSVRC2015_val_00030"),
        ("person12_2", "person12"),
        ("Jogging-1", "Jogging"),
        ("Skating2-2", "Skating2"),
        ("airplane-1", "airplane-1"),  # LaSOT numbers videos, not parts of a video
        ("airplane_001", "airplane_001"),  # so does NUS-PRO
        ("GOT-10k_Train_000001", "GOT-10k_Train_000001"),
        ("vot2013_car", "vot2013_car"),
    ],
)
def test_the_video_of_a_name(name: str, video: str) -> None:
    assert origin(name) == video


def test_parts_of_a_video_stay_together() -> None:
    names = [
        f"ILSVRC2015_train_{video:05d}{part:03d}.{track}" for video in range(300) for part in (0, 7) for track in (0, 1)
    ]
    training, held_out = hold_out(named(*names), 0.2)
    assert not {origin(v.name) for v in training} & {origin(v.name) for v in held_out}
    assert len(held_out) / len(names) == pytest.approx(0.2, abs=0.07)


def test_more_footage_does_not_change_the_choice() -> None:
    names = [f"GOT-10k_Train_{i:06d}" for i in range(200)]
    few = {video.name for video in hold_out(named(*names[50:100]), 0.3)[1]}
    many = {video.name for video in hold_out(named(*reversed(names)), 0.3)[1]}
    assert few == many & set(names[50:100])
    assert few < {video.name for video in hold_out(named(*names[50:100]), 0.6)[1]}


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "below 1"), (-0.1, "above 0"), (1e-9, "none of 2"), (0.999999, "all of 2")]
)
def test_a_share_with_an_empty_side_is_refused(share: float, shown: str) -> None:
    with pytest.raises(ConfigError, match=shown):
        hold_out(named("a", "b"), share)


class RecordingFrames:
    """Frames that record the folders of the read images."""

    def __init__(self, frames: ImageFrames, folders: set[Path]) -> None:
        self.frames, self.folders = frames, folders

    def __len__(self) -> int:
        return len(self.frames)

    def size(self) -> int:
        return self.frames.size()

    def read(self, index: int) -> np.ndarray:
        self.folders.add(self.frames.files[index].resolve().parent.parent)
        return self.frames.read(index)


def test_no_frame_of_a_held_out_video_is_in_a_pair(footage: Path) -> None:
    """Neither its files nor those of a copy under another name are read. All other videos are read."""
    gathered = Footage.gather([str(footage)], [], SHARE)
    held_out = {video.name for video in gathered.held_out}
    (copy,) = gathered.left_out
    assert gathered.left_out[copy].endswith(", which is held out")
    folders: set[Path] = set()
    videos = [Video(v.name, RecordingFrames(v.frames, folders), v.boxes, v.times) for v in gathered.videos]
    data = Pairs(videos, [], Recipe(synthetic=0.0, patch_size=45), 60)
    for i in range(60):
        data[i]
    assert {folder.name for folder in folders} == {f"clip{i}" for i in range(6)} - held_out


def lines(folder: Path) -> Iterator[dict[str, object]]:
    return (json.loads(line) for line in (folder / LOG).read_text().splitlines())


def test_the_command_validates_on_the_held_out_videos(footage: Path, tmp_path: Path) -> None:
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "synthetic": 0.0, "steps": 2}.items()]
    data = ["--videos", footage, "--workers", 0, "--output", tmp_path]
    code, text = command(*data, *sets, "--hold-out", SHARE, "--save-every", 1)
    assert code == 0, text
    _, held_out = hold_out(read_videos(footage), SHARE)
    names = [video.name for video in held_out]
    assert next(lines(tmp_path)) == {"step": 0, "held_out": names}
    assert f"held out: {', '.join(names)}\n" in text
    assert 0 <= load_checkpoint(tmp_path / BEST).score <= 1
    code, text = command(*data, "--resume")
    assert code == 1
    assert f"{', '.join(sorted(names))}: held out when the run started; resume with the same --hold-out" in text
    code, text = command(*data, "--resume", "--hold-out", SHARE)
    assert code == 0, text
    assert sum("held_out" in line for line in lines(tmp_path)) == 1


def test_held_out_crops_are_not_used_for_validation(footage: Path, tmp_path: Path) -> None:
    make_cache(read_videos(footage)[:6], ["some"], CropSettings(), tmp_path / "crops")
    sets = [f"--set={name}={value}" for name, value in {**SMALL, "synthetic": 0.0, "steps": 1}.items()]
    data = ["--videos", tmp_path / "crops", "--workers", 0, "--output", tmp_path / "run"]
    code, text = command(*data, *sets, "--hold-out", SHARE)
    assert code == 0, text
    assert "target-centred crops cannot validate a tracker; add --validate SEQUENCES" in text
    assert not (tmp_path / "run" / BEST).exists()
