"""The training footage: files of git repositories become sequences in OTB's layout, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet.errors import ConfigError, SourceError
from dcfnet_train.training_set import layout
from dcfnet_train.training_set.layout import clip, shrink

from tests.train.repositories import BOX, LENGTH, box, entry, write


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"format": "xywh1", "boxes": "xywh1.txt"},
        {"format": "corners", "boxes": "corners.txt"},
        {"boxes": "padded.txt", "row": 3},
        {"frames": "a seq/%04d.png"},
        {"format": "labels", "boxes": "labels/gt%06d.png", "at": (45, 35)},
    ],
)
def test_every_format_gives_the_same_boxes(repositories: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    found = write(repositories, entry(repositories, **changes), tmp_path)
    np.testing.assert_allclose(found.boxes, [box(frame) for frame in range(1, LENGTH + 1)])
    for index in range(LENGTH):
        rows, columns = np.nonzero(found.read(index)[..., 1] > 170)
        x, y, w, h = found.boxes[index]
        assert (columns.min(), columns.max() + 1) == pytest.approx((x, x + w), abs=1)
        assert (rows.min(), rows.max() + 1) == pytest.approx((y, y + h), abs=1)


def test_a_jpeg_that_is_not_shrunk_is_copied(repositories: Path, tmp_path: Path) -> None:
    write(repositories, entry(repositories), tmp_path)
    assert (tmp_path / "one/img/00000002.jpg").read_bytes() == (
        repositories.parent / "work/a seq/img0002.jpg"
    ).read_bytes()


@pytest.mark.parametrize(("thin", "width"), [(1, 44), (5, 24)])
def test_the_box_of_a_mask_leaves_thin_parts_out(repositories: Path, tmp_path: Path, thin: int, width: int) -> None:
    """The mask has a line of 2 x 20 px beside the target. Its files are numbered from 0."""
    changes = {"format": "mask", "boxes": "mask/%05d.png", "frames": "a seq/img%04d.jpg", "first": 1, "last": 5}
    found = write(repositories, entry(repositories, **changes, thin=thin), tmp_path)
    wanted = [(*box(frame + 1)[:2], width, BOX[3]) for frame in range(1, 6)]  # mask 1 is of frame 2
    np.testing.assert_allclose(found.boxes, wanted)


def test_a_range_of_frames_begins_at_its_row(repositories: Path, tmp_path: Path) -> None:
    found = write(repositories, entry(repositories, first=3, last=5, row=3), tmp_path)
    np.testing.assert_allclose(found.boxes, [box(3), box(4), box(5)])
    assert [file.name for file in sorted((tmp_path / "one/img").iterdir())] == [f"{n:08d}.jpg" for n in (1, 2, 3)]


def test_absent_frames_are_kept_between_boxes_alone(repositories: Path, tmp_path: Path) -> None:
    """The first frame has no box, and the last one's is 2 x 2 px."""
    found = write(repositories, entry(repositories, boxes="gaps.txt"), tmp_path)
    np.testing.assert_allclose(found.boxes, [box(2), box(3), [np.nan] * 4, box(5)])


def test_a_shrunk_frame_shows_the_target_in_its_box(repositories: Path, tmp_path: Path) -> None:
    found = write(repositories, entry(repositories, frames="a seq/%04d.png"), tmp_path, longest=100)
    assert found.read(0).shape == (75, 100, 3)
    for index in range(LENGTH):
        bright = np.clip(found.read(index)[..., 1].astype(float) - 120, 0, None)
        x, y, w, h = found.boxes[index]
        assert np.average(np.arange(100), weights=bright.sum(axis=0)) == pytest.approx(x + (w - 1) / 2, abs=0.2)
        assert np.average(np.arange(75), weights=bright.sum(axis=1)) == pytest.approx(y + (h - 1) / 2, abs=0.2)
        assert (w, h) == pytest.approx((BOX[2] * 0.625, BOX[3] * 0.625), abs=0.01)


def test_pixel_centres_are_at_integers() -> None:
    """The box of the whole picture stays that of the whole picture; a centre c goes to (c + 0.5) s - 0.5."""
    small, moved = shrink(np.zeros((720, 1280, 3), np.uint8), np.array([[0, 0, 1280, 720], [101, 51, 1, 1]]), 640)
    assert small.shape == (360, 640, 3)
    np.testing.assert_allclose(moved[0], [0, 0, 640, 360])
    x, y, w, h = moved[1]
    assert (x + (w - 1) / 2, y + (h - 1) / 2) == ((101 + 0.5) * 0.5 - 0.5, (51 + 0.5) * 0.5 - 0.5)


def test_boxes_are_clipped_to_the_picture() -> None:
    boxes = np.array([[-5.0, -2, 20, 10], [90, 40, 30, 30], [200, 10, 5, 5], [10, 10, 5, 5]])
    wanted = [[0, 0, 15, 8], [90, 40, 10, 10], [100, 10, 0, 5], [10, 10, 5, 5]]
    np.testing.assert_allclose(clip(boxes, 100, 50), wanted)


def test_other_content_is_refused_by_name(repositories: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"one: someone/tracker at \w{40} has other content.*fetch commit"):
        write(repositories, entry(repositories, sha256="1" * 64), tmp_path)
    with pytest.raises(SourceError, match=r"one: .* has no a seq/img0007\.jpg; fetch commit"):
        write(repositories, entry(repositories, last=7, sha256="1" * 64), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_clone_of_another_commit_will_do_where_the_content_is_the_same(repositories: Path, tmp_path: Path) -> None:
    one = entry(repositories).replace(commit="1" * 40)
    assert len(write(repositories, one, tmp_path)) == LENGTH


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "corners"}, r"xywh0\.txt:1: '40,30,24,16' is 4 numbers, not 8"),
        ({"row": 3}, r"xywh0\.txt: 6 rows; rows 3 to 8 are needed"),
        ({"frames": "labels/gt%06d.png", "boxes": "labels/gt000001.png"}, "must be finite numbers or NaN"),
        (
            {"format": "labels", "boxes": "labels/gt%06d.png", "at": (1, 1)},
            r"no moving component at \(1, 1\) in frame 1",
        ),
        ({"format": "mask", "boxes": "a seq/img%04d.jpg", "frames": "xywh%01d.txt", "last": 1}, "not a readable image"),
    ],
)
def test_an_annotation_that_does_not_fit_is_named(
    repositories: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        write(repositories, entry(repositories, **{"last": LENGTH, **changes}), tmp_path)
    assert not (tmp_path / "one").exists()


def test_a_rerun_keeps_what_is_finished(repositories: Path, tmp_path: Path) -> None:
    one = entry(repositories)
    write(repositories, one, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    write(repositories, one, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before
    with pytest.raises(ConfigError, match="longest is 640, not 320; remove it"):
        write(repositories, one, tmp_path, longest=320)
    (tmp_path / "one/img/00000003.jpg").unlink()
    with pytest.raises(ConfigError, match="holds 5 frames of 6; remove it"):
        write(repositories, one, tmp_path)


def test_a_run_that_is_killed_leaves_no_part_of_a_sequence(
    repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = layout.write_atomically

    def stop(content: bytes, file: Path) -> None:
        if file.name == "00000004.jpg":
            raise KeyboardInterrupt
        whole(content, file)

    one = entry(repositories)
    monkeypatch.setattr(layout, "write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        write(repositories, one, tmp_path)
    monkeypatch.setattr(layout, "write_atomically", whole)
    assert [place.name for place in tmp_path.iterdir()] == [".one.partial"]
    assert len(write(repositories, one, tmp_path)) == LENGTH
    assert [place.name for place in tmp_path.iterdir()] == ["one"]
