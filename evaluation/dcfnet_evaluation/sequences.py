"""Annotated sequences: frames that are read one at a time, and the true box of each.

The readers of the data sets (`datasets`) make them. Conversions to the package's 0-based boxes happen there alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from dcfnet.backend import Frame
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]  # (N, 4): x, y, w, h


class SequenceError(ValueError):
    """A sequence whose files do not fit together; the message names file and line."""


class Frames(Protocol):
    """Frames by their index, counted from 0."""

    def __len__(self) -> int: ...

    def size(self) -> int:
        """Bytes of the files on disk: tells one set of frames from another."""

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming what cannot be read."""


@dataclass(frozen=True)
class ImageFrames:
    """Frames that are image files, in order."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def size(self) -> int:
        """Bytes of all files; one that is not there counts nothing."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming a file that is no image."""
        file = self.files[index]
        try:
            content = np.fromfile(file, dtype=np.uint8)
        except OSError as error:
            raise SequenceError(f"{file}: cannot be read ({error.strerror})") from error
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if image is None:
            raise SequenceError(f"{file}: not a readable image")
        return image.astype(np.uint8, copy=False)


class VideoFrames:
    """Frames of a video, decoded one after another; going back starts again at its beginning. For one thread.

    OpenCV's seeking is not used: with many codecs it lands on another frame than asked for.
    """

    def __init__(self, file: Path, length: int) -> None:
        """length: the number of frames to offer; reading one that the file does not hold raises."""
        self.file, self._length = file, length
        self._capture: cv2.VideoCapture | None = None
        self._decoded = 0  # frames taken from the capture so far
        self._last: Frame | None = None  # the last of them

    def __reduce__(self) -> tuple[type[VideoFrames], tuple[Path, int]]:
        return VideoFrames, (self.file, self._length)  # an opened decoder does not go to another process

    def __len__(self) -> int:
        return self._length

    def size(self) -> int:
        """Bytes of the video."""
        return self.file.stat().st_size

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming the frame that cannot be decoded."""
        if not 0 <= index < self._length:
            raise SequenceError(f"{self.file}: no frame {index}; there are {self._length}")
        if self._last is not None and index == self._decoded - 1:
            return self._last.copy()
        capture = self._rewound() if self._capture is None or index < self._decoded else self._capture
        while self._decoded <= index:
            if not capture.grab():
                raise self._failed(index)
            self._decoded += 1
        ok, frame = capture.retrieve()
        if not ok:
            raise self._failed(index)
        self._last = frame.astype(np.uint8, copy=False)
        return self._last.copy()

    def _rewound(self) -> cv2.VideoCapture:
        self._capture, self._decoded, self._last = cv2.VideoCapture(str(self.file)), 0, None
        return self._capture

    def _failed(self, index: int) -> SequenceError:
        held, self._capture, self._decoded, self._last = self._decoded, None, 0, None
        return SequenceError(
            f"{self.file}: frame {index} cannot be decoded; the video ends or is broken after {held} of {self._length}"
        )


@dataclass(frozen=True)
class AnnotatedSequence:
    """A sequence of frames with the true box of each.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; a row of NaN where the target is absent or not annotated.
    attributes: what the data set says is hard in it, such as ("IV", "SV"); () where it says nothing.
    """

    name: str
    frames: Frames
    boxes: Boxes
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming what cannot be read."""
        return self.frames.read(index)


def read_lines(file: Path) -> list[str]:
    """Lines of a text file without blanks around them; blank lines at its end are left out.

    Raises SequenceError naming a file that cannot be read or is no UTF-8 text.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SequenceError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SequenceError(f"{file}: not UTF-8 text; save it as UTF-8") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def read_numbers(file: Path, line: int, text: str) -> list[float]:
    """Numbers of one line, with commas, semicolons, tabs or spaces between them. NaN is one, infinity is none.

    Raises SequenceError naming the line, counted from 1.
    """
    try:
        row = [float(value) for value in re.split(r"\s*[,;]\s*|\s+", text)]
    except ValueError:
        row = [np.inf]
    if np.isinf(row).any():
        raise SequenceError(f"{file}:{line}: {text!r} is not numbers with commas or blanks between them")
    return row


def read_boxes(file: Path, columns: tuple[int, ...] = (4,)) -> NDArray[np.float64]:
    """Rows of numbers as they stand in the file, float64 (N, columns).

    columns: how many there may be in a row; all rows have the same number of them. A blank line between rows is an
    error, since no data set writes one and leaving it out would move all later boxes by a frame.
    Raises SequenceError naming the line that is something else.
    """
    rows: list[list[float]] = []
    for number, text in enumerate(read_lines(file), start=1):
        row = read_numbers(file, number, text)
        if len(row) not in columns or len(row) != len((rows or [row])[0]):
            wanted = len(rows[0]) if rows else " or ".join(str(count) for count in columns)
            raise SequenceError(f"{file}:{number}: {text!r} is {len(row)} numbers, not {wanted}")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(rows[0]) if rows else columns[0])


def box_around(corners: Sequence[float]) -> list[float]:
    """The upright box x, y, w, h around a polygon x1, y1, x2, y2, ...; the pixels that its corners name are inside.

    From corner 10 to corner 19 it is 10 pixels wide, as the VOT toolkit draws it where it measures overlap
    (vot/region/raster.py); its own conversion to a rectangle says 9.
    """
    left, top = min(corners[::2]), min(corners[1::2])
    return [left, top, max(corners[::2]) - left + 1, max(corners[1::2]) - top + 1]


def mark_absent(boxes: Boxes, absent: ArrayLike = False) -> Boxes:
    """The boxes with NaN rows where `absent`, bool (N,), says so, where a number is NaN, or a side is not above 0."""
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
    """The sequence of these image files, in order, once they are seen to fit the boxes; `name` or else the folder's.

    numbered: whether names that end in numbers have to count without a gap.
    Raises SequenceError where there are not as many files as boxes, one is missing, or the first frame has no box.
    """
    gap = _gap(files) if numbered else ""
    if len(files) != len(boxes) or not len(files):
        raise SequenceError(f"{folder}: {len(files)} frames but {len(boxes)} boxes" + (f"; {gap}" if gap else ""))
    if gap:
        raise SequenceError(f"{folder}: {gap}")
    return checked(folder, AnnotatedSequence(name or folder.name, ImageFrames(files), boxes, attributes))


def checked(place: Path, sequence: AnnotatedSequence) -> AnnotatedSequence:
    """The sequence as it is. Raises SequenceError where its first frame has no box for a tracker to start from."""
    if np.isnan(sequence.boxes[0]).any():
        raise SequenceError(f"{place}: the first frame has no box; cut the frames before the target appears")
    return sequence


def frame_number(file: Path) -> int | None:
    """The number at the end of an image's name, as in 0001.jpg or img00001.png; None where there is none."""
    digits = re.search(r"\d+$", file.stem)
    return int(digits[0]) if digits else None


def _gap(files: tuple[Path, ...]) -> str:
    """Which number is left out between the names of the files; "" where none is, or where they are no numbers."""
    for before, after in pairwise(files):
        first, second = frame_number(before), frame_number(after)
        if first is not None and second is not None and second > first + 1:
            return f"frame {first + 1} is missing between {before.name} and {after.name}"
    return ""
