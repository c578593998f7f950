"""Box files and frames: how they are read, and the errors for invalid ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from dcfnet_evaluation.sequences import SequenceError, VideoFrames, read_boxes

from tests.evaluation.trees import NAN, number_of, render_video, write


@pytest.mark.parametrize(
    "content",
    [
        b"1,2,3,4\n5,6,7,8\n",
        b"1\t2\t3\t4\r\n5\t6\t7\t8",
        b"1 2 3 4\n5, 6, 7, 8\n\n\n",
        b"1;2;3;4\n5.0 ; 6e0\t 7,8\n",
        b"\xef\xbb\xbf1,2,3,4\n5,6,7,8\n",
    ],
)
def test_boxes_are_read_with_any_separator(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.txt").write_bytes(content)
    np.testing.assert_array_equal(read_boxes(tmp_path / "b.txt"), [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("line", ["5,6,7", "a,b,c,d", "1,2,3,4,5", "1,,2,3,4", "1,2,3,inf", "1,2,3,4,", ""])
def test_an_invalid_line_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    """A blank line between rows is also an error: to skip it would shift all later boxes by one frame."""
    write(tmp_path / "b.txt", f"1,2,3,4\n{line}\n1,2,3,4\n")
    with pytest.raises(SequenceError, match=r"b\.txt:2: "):
        read_boxes(tmp_path / "b.txt")


def test_a_nan_row_is_read_as_nan(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "1,2,3,4\nnan,NaN,nan,nan\n")
    np.testing.assert_array_equal(read_boxes(tmp_path / "b.txt"), [[1, 2, 3, 4], NAN])


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes("1,2,3,4\n".encode("utf-16"))
    with pytest.raises(SequenceError, match=r"b\.txt: not UTF-8"):
        read_boxes(tmp_path / "b.txt")
    with pytest.raises(SequenceError, match=r"none\.txt: cannot be read"):
        read_boxes(tmp_path / "none.txt")


def test_video_frames_can_be_read_in_any_order(tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", 20)
    frames = VideoFrames(tmp_path / "v.mp4", 20)
    for index in (5, 5, 2, 3, 19, 0, 0, 19):
        assert number_of(frames.read(index)) == index
    frames.read(4)[:] = 255  # the caller's change does not affect the next read
    assert number_of(frames.read(4)) == 4
    assert number_of(pickle.loads(pickle.dumps(frames)).read(6)) == 6
    with pytest.raises(SequenceError, match=r"v\.mp4: no frame 20; the index must be from 0 to 19"):
        frames.read(20)


def test_a_video_that_ends_early_is_an_error(tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", 20)
    frames = VideoFrames(tmp_path / "v.mp4", 30)
    with pytest.raises(SequenceError, match=r"v\.mp4: frame 25 cannot be decoded; .* after 20 of 30"):
        frames.read(25)
    assert number_of(frames.read(3)) == 3
    write(tmp_path / "text.mp4", "no video")
    with pytest.raises(SequenceError, match=r"text\.mp4: frame 0 cannot be decoded"):
        VideoFrames(tmp_path / "text.mp4", 5).read(0)
