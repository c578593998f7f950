"""Footage without annotation, in short segments: what is learnt from, and at its end what is kept to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.frames import image_files
from dcfnet.geometry import Box, target_box
from dcfnet_evaluation.sequences import Frames, ImageFrames, SequenceError, VideoFrames

LENGTH = 20  # frames of a segment: twice the gap of a pair, and short enough to come back from
KEPT_BACK = 0.25  # share at the end of every video that is judged by and never learnt from
MOST = 60  # segments of a video that are learnt from, and a third of it that are judged by


@dataclass(frozen=True)
class HeldFrames:
    """Frames in memory."""

    images: tuple[Frame, ...]

    def __len__(self) -> int:
        return len(self.images)

    def size(self) -> int:
        """Bytes of the frames as they are held."""
        return sum(image.nbytes for image in self.images)

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR."""
        return self.images[index]


@dataclass(frozen=True)
class Unlabelled:
    """A video whose targets nobody has drawn but, perhaps, one in its first frame: box, 0-based frame pixels."""

    name: str
    frames: Frames
    box: Box | None = None

    @classmethod
    def open(cls, place: Path, box: Box | None = None) -> Unlabelled:
        """A video, or a folder of images or with `img/`.

        Raises SequenceError for what is neither and for one too short to be divided, and InvalidBoxError for a box that
        cannot be tracked.
        """
        if place.is_dir():
            inner = place / "img"
            frames: Frames = ImageFrames(image_files(inner if inner.is_dir() else place))
        else:
            frames = VideoFrames(place, _count(place))
        if len(frames) < 4 * LENGTH:
            raise SequenceError(f"{place}: {len(frames)} frames; adaptation needs at least {4 * LENGTH}")
        if box is not None:
            height, width = frames.read(0).shape[:2]
            box = target_box(box, (width, height))
        return cls(place.resolve().stem, frames, box)

    def learnt_from(self) -> list[int]:
        """First frames of the segments to learn from; each begins where the one before it ends.

        Of a long video those at its beginning, where a box is given, else some all over it.
        """
        starts = list(range(0, self._divide() - LENGTH + 1, LENGTH - 1))
        return starts[:MOST] if self.box else _spread(starts, MOST)

    def judged_by(self) -> list[int]:
        """First frames of the segments to judge by, none of which shares a frame with those that are learnt from."""
        return _spread(list(range(self._divide(), len(self.frames) - LENGTH + 1, LENGTH)), MOST // 3)

    def segment(self, start: int) -> tuple[Frame, ...]:
        """The frames of a segment. Raises SequenceError naming one that cannot be read."""
        return tuple(self.frames.read(index) for index in range(start, start + LENGTH))

    def _divide(self) -> int:
        """The first frame that is not learnt from."""
        return round(len(self.frames) * (1 - KEPT_BACK))


def _spread(starts: list[int], most: int) -> list[int]:
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int))
    return [starts[i] for i in chosen]


def _count(video: Path) -> int:
    """Frames that a video holds: what its container says is often more. Raises SequenceError for what is no video."""
    if not video.is_file():
        raise SequenceError(f"{video}: no such file or folder")
    capture = cv2.VideoCapture(str(video))
    count = 0
    while capture.grab():
        count += 1
    if not count:
        raise SequenceError(f"{video}: cannot be opened as a video; is it one, and does OpenCV know its codec?")
    return count
