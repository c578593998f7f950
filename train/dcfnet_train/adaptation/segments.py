"""Footage without annotation, in short segments: for training, and at the end of each video for the gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.frame import Frame
from dcfnet.io.image_series import image_series
from dcfnet.result import Box
from dcfnet.tracking.geometry import target_box
from dcfnet_evaluation.sequences import Frames, ImageFrames, SequenceError, VideoFrames, count_frames

LENGTH = 20  # frames of a segment: twice the gap of a pair, and short enough for a tracker to come back
KEPT_BACK = 0.25  # share at the end of each video for the gate; training never uses it
MOST = 60  # largest number of training segments of a video; the gate uses up to a third of it


@dataclass(frozen=True)
class HeldFrames:
    """Frames in memory."""

    images: tuple[Frame, ...]

    def __len__(self) -> int:
        return len(self.images)

    def size(self) -> int:
        """Size of the frames in memory, bytes."""
        return sum(image.nbytes for image in self.images)

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR."""
        return self.images[index]


@dataclass(frozen=True)
class Unlabelled:
    """A video without annotation. box: optional target in the first frame, 0-based frame pixels."""

    name: str
    frames: Frames
    box: Box | None = None

    @classmethod
    def open(cls, place: Path, box: Box | None = None) -> Unlabelled:
        """Opens a video file, a folder of images, or a folder with `img/`.

        Raises SequenceError if `place` is none of these or too short. Raises InvalidBoxError if the box cannot be
        tracked.
        """
        if place.is_dir():
            inner = place / "img"
            frames: Frames = ImageFrames(_series(inner if inner.is_dir() else place))
        else:
            frames = VideoFrames(place, _count(place))
        if len(frames) < 4 * LENGTH:
            raise SequenceError(
                f"{place}: {len(frames)} frames; adaptation needs at least {4 * LENGTH}, use a longer video"
            )
        if box is not None:
            height, width = frames.read(0).shape[:2]
            box = target_box(box, (width, height))
        return cls(place.resolve().stem, frames, box)

    def learnt_from(self) -> list[int]:
        """First frames of the training segments. Each segment starts with the last frame of the one before.

        In a long video with a box, they are at the start; without a box, they are spread over the training part.
        """
        starts = list(range(0, self._divide() - LENGTH + 1, LENGTH - 1))
        return starts[:MOST] if self.box else _spread(starts, MOST)

    def judged_by(self) -> list[int]:
        """First frames of the segments for the gate. They share no frame with the training segments."""
        return _spread(list(range(self._divide(), len(self.frames) - LENGTH + 1, LENGTH)), MOST // 3)

    def segment(self, start: int) -> tuple[Frame, ...]:
        """The frames of a segment. Raises SequenceError for an unreadable frame."""
        return tuple(self.frames.read(index) for index in range(start, start + LENGTH))

    def _divide(self) -> int:
        """The first frame after the training part."""
        return round(len(self.frames) * (1 - KEPT_BACK))


def _spread(starts: list[int], most: int) -> list[int]:
    indices = np.unique(np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int))
    return [starts[i] for i in indices]


def _count(video: Path) -> int:
    """Number of readable frames; the container often reports more. Raises SequenceError if the file is not a video."""
    if not video.is_file():
        raise SequenceError(f"{video}: no such file or folder")
    return count_frames(video)


def _series(folder: Path) -> tuple[Path, ...]:
    """The one series of images in a folder. Raises SequenceError."""
    try:
        return image_series(folder).files
    except SourceError as error:
        raise SequenceError(str(error)) from error
