"""Annotated sequences: frames, which are read one at a time, and their true boxes.

The dataset readers in `datasets` create them. Only these readers convert boxes to the 0-based boxes of the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding.images import levels_of, read_image
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.videos import open_video
from dcfnet.io.files import read_limited
from dcfnet.io.frame import Frame
from dcfnet.io.source_frame import SourceFrame
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]  # (N, 4): x, y, w, h


class SequenceError(ValueError):
    """A file of a sequence that is missing or invalid; the message names the file and, if possible, the line."""


class Frames(Protocol):
    """The frames of a sequence, by 0-based index."""

    def __len__(self) -> int: ...

    def size(self) -> int:
        """Bytes of the files on disk; distinguishes two sets of frames."""

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""


@dataclass(frozen=True)
class ImageFrames:
    """Frames in image files, in order."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def size(self) -> int:
        """Bytes of all files; a missing file counts as 0."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if the file is not an image."""
        try:
            return read_image(self.files[index], levels_of(self.files[0]))
        except SourceError as error:
            raise SequenceError(f"{error}; copy the file from the dataset again") from error


class VideoFrames:
    """Frames of a video, decoded in order. A step back decodes again from the first frame. Not thread-safe.

    No decoder seeks, because with many codecs a seek stops at a wrong frame.
    """

    def __init__(self, file: Path, length: int) -> None:
        """length: number of frames. `read` raises SequenceError if the file has fewer."""
        self.file, self._length = file, length
        self._frames: Iterator[SourceFrame] = iter(())
        self._decoded = 0  # number of decoded frames
        self._last: SourceFrame | None = None  # the newest decoded frame

    def __reduce__(self) -> tuple[type[VideoFrames], tuple[Path, int]]:
        return VideoFrames, (self.file, self._length)  # an open decoder cannot be sent to another process

    def __len__(self) -> int:
        return self._length

    def size(self) -> int:
        """Bytes of the video."""
        return self.file.stat().st_size

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be decoded."""
        if not 0 <= index < self._length:
            raise SequenceError(f"{self.file}: no frame {index}; the index must be from 0 to {self._length - 1}")
        try:
            if self._last is None or index < self._decoded - 1:
                self._frames, self._decoded = open_video(str(self.file), str(self.file), Levels()).frames, 0
            while self._decoded <= index:
                self._last = next(self._frames)
                self._decoded += 1
        except (StopIteration, SourceError) as error:
            raise self._decode_error(index) from error
        if self._last is None or self._last.pixels is None:
            raise self._decode_error(index)
        return self._last.pixels.copy()

    def _decode_error(self, index: int) -> SequenceError:
        decoded, self._decoded, self._last = self._decoded, 0, None
        return SequenceError(
            f"{self.file}: frame {index} cannot be decoded; the video ends or is damaged after {decoded} of "
            f"{self._length} frames; repair it, or remove the boxes of the missing frames"
        )


def count_frames(video: Path) -> int:
    """Number of frames of a video, counted by decoding it: containers often report another number.

    Raises SequenceError if the file is not a video.
    """
    try:
        return sum(1 for _ in open_video(str(video), str(video), Levels()).frames)
    except SourceError as error:
        raise SequenceError(str(error)) from error


@dataclass(frozen=True)
class AnnotatedSequence:
    """The frames of a sequence and their true boxes.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; a row is NaN if the target is absent or not annotated.
    attributes: challenges of the sequence according to the dataset, for example ("IV", "SV"); () if there are none.
    """

    name: str
    frames: Frames
    boxes: Boxes
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        return self.frames.read(index)


def read_lines(file: Path) -> list[str]:
    """Lines of a text file, stripped, without blank lines at the end.

    Raises SequenceError if the file cannot be read or is not UTF-8 text.
    """
    try:
        text = read_limited(file).decode("utf-8-sig")
    except OSError as error:
        raise SequenceError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SequenceError(f"{file}: not UTF-8 text; save it as UTF-8") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def read_numbers(file: Path, line: int, text: str) -> list[float]:
    """Numbers of one line, separated by commas, semicolons, tabs or spaces. NaN is allowed.

    line: 1-based number for the message. Raises SequenceError if a value is not a number, or is infinite.
    """
    try:
        row = [float(value) for value in re.split(r"\s*[,;]\s*|\s+", text)]
    except ValueError:
        row = [np.inf]
    if np.isinf(row).any():
        raise SequenceError(f"{file}:{line}: {text!r}: must be finite numbers or NaN, separated by commas or blanks")
    return row


def read_boxes(file: Path, columns: tuple[int, ...] = (4,)) -> NDArray[np.float64]:
    """Rows of numbers of a file, unchanged, float64 (N, columns).

    columns: allowed numbers of values in a row; all rows must have the same number. A blank line between rows is an
    error: no dataset writes one, and to skip it would shift all later boxes by one frame.
    Raises SequenceError if a row is invalid; the message names the line.
    """
    rows: list[list[float]] = []
    for number, text in enumerate(read_lines(file), start=1):
        row = read_numbers(file, number, text)
        if len(row) not in columns or len(row) != len((rows or [row])[0]):
            expected = len(rows[0]) if rows else " or ".join(str(count) for count in columns)
            raise SequenceError(
                f"{file}:{number}: {text!r} has {len(row)} numbers; must be {expected}; correct the row"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(rows[0]) if rows else columns[0])


def box_around(corners: Sequence[float]) -> list[float]:
    """The axis-aligned box x, y, w, h around a polygon x1, y1, x2, y2, .... The corner pixels are inside.

    From corner 10 to corner 19 the box is 10 pixels wide, as in the overlap of the VOT toolkit (vot/region/raster.py).
    The toolkit's own conversion to a rectangle gives 9.
    """
    left, top = min(corners[::2]), min(corners[1::2])
    return [left, top, max(corners[::2]) - left + 1, max(corners[1::2]) - top + 1]


def mark_absent(boxes: Boxes, absent: ArrayLike = False) -> Boxes:
    """Sets a row to NaN if `absent`, bool (N,), is true, a number is NaN, or a side is not above 0."""
    missing = np.asarray(absent, dtype=bool) | np.isnan(boxes).any(axis=1) | ~(boxes[:, 2:] > 0).all(axis=1)
    return np.where(missing[:, None], np.nan, boxes)


def open_images(
    folder: Path,
    boxes: Boxes,
    files: tuple[Path, ...],
    attributes: tuple[str, ...] = (),
    name: str = "",
    numbered: bool = True,
) -> AnnotatedSequence:
    """Makes a sequence of image files, in order, and their boxes. name: "" is the name of the folder.

    numbered: whether numbers at the end of the file names must have no gap.
    Raises SequenceError if the numbers of files and boxes differ, a file is missing, or the first frame has no box.
    """
    gap = _describe_gap(files) if numbered else ""
    if len(files) != len(boxes) or not len(files):
        raise SequenceError(
            f"{folder}: {len(files)} frames but {len(boxes)} boxes; {gap or 'every frame needs one box'}"
        )
    if gap:
        raise SequenceError(f"{folder}: {gap}; add the missing frame")
    return check_first_box(folder, AnnotatedSequence(name or folder.name, ImageFrames(files), boxes, attributes))


def check_first_box(place: Path, sequence: AnnotatedSequence) -> AnnotatedSequence:
    """Returns the sequence. Raises SequenceError if its first frame has no box to start from."""
    if np.isnan(sequence.boxes[0]).any():
        raise SequenceError(f"{place}: the first frame has no box; remove the frames before the target appears")
    return sequence


def frame_number(file: Path) -> int | None:
    """The number at the end of an image name, as in 0001.jpg or img00001.png; None if there is none."""
    digits = re.search(r"\d+$", file.stem)
    return int(digits[0]) if digits else None


def _describe_gap(files: tuple[Path, ...]) -> str:
    """Describes the first gap between the numbers in the file names; "" if there is no gap or no number."""
    for previous, following in pairwise(files):
        first, second = frame_number(previous), frame_number(following)
        if first is not None and second is not None and second > first + 1:
            return f"frame {first + 1} is missing between {previous.name} and {following.name}"
    return ""
