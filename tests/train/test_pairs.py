"""Pairs: the position of the target, and random numbers from seed and pair number only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from dcfnet.result import Box
from dcfnet_evaluation.rendered import noise_texture, render_clip
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_train.footage.images import photographs
from dcfnet_train.footage.videos import Video, read_videos
from dcfnet_train.pairs import Pairs, crop_pair
from dcfnet_train.pairs.augment import augment_pair, mirror_box
from dcfnet_train.pairs.synthetic import FRAME_SIDE, render_pair
from dcfnet_train.recipe import Recipe


def pairs(footage: Path, **changes: object) -> Pairs:
    recipe = Recipe().replace(**changes)
    return Pairs(read_videos(footage / "videos"), sorted((footage / "photos").iterdir()), recipe, count=8)


@pytest.mark.parametrize("synthetic", [0.0, 1.0])
def test_a_pair_depends_only_on_seed_and_number(footage: Path, synthetic: float) -> None:
    first, second = pairs(footage, synthetic=synthetic), pairs(footage, synthetic=synthetic)
    (patches, shift), again = first[3], second[3]
    assert patches.shape == (2, 3, 126, 126)
    assert patches.dtype == shift.dtype == torch.float32
    assert torch.equal(patches, again[0])
    assert torch.equal(shift, again[1])
    assert not torch.equal(patches, first[4][0])
    assert not torch.equal(shift, first[4][1])
    assert not torch.equal(patches, pairs(footage, synthetic=synthetic, seed=1)[3][0])


def test_the_target_is_at_the_centre_of_both_patches(footage: Path) -> None:
    data = pairs(footage, synthetic=0.0, augment=False, displacement=0.0)
    for i in range(8):
        (template, search), shift = data[i][0].numpy(), data[i][1]
        assert shift.abs().max() == 0
        target = slice(48, 77)  # inside the target of 126 / 3 px
        a, b = template[:, target, target].ravel(), search[:, target, target].ravel()
        assert np.corrcoef(a, b)[0, 1] > 0.8


def test_frames_of_a_pair_are_near_in_time(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pairs(footage, synthetic=0.0, augment=False, max_gap=2)
    read, indices = Video.read, []

    def recording_read(video: Video, index: int) -> tuple[np.ndarray, Box]:
        indices.append(index)
        return read(video, index)

    monkeypatch.setattr(Video, "read", recording_read)
    for i in range(8):
        data[i]
    gaps = [abs(first - second) for first, second in zip(indices[::2], indices[1::2], strict=True)]
    assert len(gaps) == 8
    assert max(gaps) <= 2
    assert len(set(gaps)) > 1


def test_rendered_boxes_are_at_the_target(footage: Path) -> None:
    """Crops at the boxes correlate. Crops with an offset of half a target do not."""
    photos = sorted((footage / "photos").iterdir())
    centred, aside = [], []
    for seed in range(12):
        frames, boxes = render_pair(np.random.default_rng(seed), photos)
        assert all(frame.shape == (FRAME_SIDE, FRAME_SIDE, 3) for frame in frames)
        moved = [boxes[0], Box(boxes[1].x + boxes[1].w / 2, boxes[1].y, boxes[1].w, boxes[1].h)]
        for correlations, places in ((centred, boxes), (aside, moved)):
            template, search = crop_pair(frames, places, Recipe())[:, :, 48:77, 48:77]
            correlations.append(np.corrcoef(template.ravel(), search.ravel())[0, 1])
    assert np.median(centred) > 0.7
    assert np.median(aside) < 0.5


def test_mirroring_moves_the_box_with_the_frame() -> None:
    clip = render_clip(2, 320, 240, occluder=False)
    frame, box = clip.frame(0), clip.box(0)
    mirrored = mirror_box(box, 320)
    patches = [crop_pair([f, f], [b, b], Recipe())[0] for f, b in ((frame, box), (frame[:, ::-1].copy(), mirrored))]
    np.testing.assert_allclose(patches[0], patches[1][:, :, ::-1], atol=2)
    assert tuple(mirror_box(mirrored, 320)) == pytest.approx(tuple(box))


def test_augmentation_keeps_shapes_and_the_original_frame(rng: np.random.Generator) -> None:
    frame = noise_texture(rng, 60, 80)
    before = frame.copy()
    for seed in range(20):
        frames, boxes = augment_pair(np.random.default_rng(seed), [frame, frame], [Box(20, 10, 30, 40)] * 2)
        assert all(f.shape == frame.shape and f.dtype == np.uint8 for f in frames)
        assert boxes[1].w == pytest.approx(30, rel=0.1)
    assert np.array_equal(frame, before)


def test_clips_lose_their_black_border_and_keep_their_target(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    image = np.zeros((100, 100, 3), np.uint8)
    image[20:, :90] = 120
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(folder / name), image)
    (folder / "boxes.csv").write_text("source_frame,x,y,w,h,size\n0,40,50,20,10,100\n5,41,50,20,10,100\n")
    (video,) = read_videos(tmp_path)
    assert list(video.times) == [0, 5]
    frame, box = video.read(0)
    assert frame.shape == (80, 90, 3)
    assert tuple(box) == (40, 30, 20, 10)


def test_photographs_are_those_of_all_subfolders_in_one_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "more/a.jpg", "c.WEBP", "text.txt", "._b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in photographs(tmp_path)]
    assert found == ["b.jpg", "more/a.jpg", "a.png", "c.WEBP"]
    assert photographs(None) == []


def test_unusable_footage_is_reported(tmp_path: Path, footage: Path) -> None:
    with pytest.raises(SequenceError, match="no such folder"):
        read_videos(tmp_path / "none")
    with pytest.raises(SequenceError, match=r"groundtruth_rect\.txt or boxes\.csv"):
        read_videos(tmp_path)
    with pytest.raises(ValueError, match="--videos"):
        Pairs([], [], Recipe(synthetic=0.0), 1)
    with pytest.raises(ValueError, match="--photos"):
        Pairs(read_videos(footage / "videos"), [], Recipe(synthetic=0.5), 1)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "boxes.csv").write_text("source_frame,x,y\n0,1,2\n")
    with pytest.raises(SequenceError, match="0 frames but 1 rows"):
        read_videos(tmp_path)
    cv2.imwrite(str(tmp_path / "clip" / "1.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(SequenceError, match="source_frame, x, y, w, h"):
        read_videos(tmp_path)
