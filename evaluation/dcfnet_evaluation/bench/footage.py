"""What a benchmark runs on: sequences brought to one size of frame and, before any clock runs, decoded into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.errors import ConfigError
from dcfnet.geometry import Box

from dcfnet_evaluation.protocols import Start
from dcfnet_evaluation.rendered import Clip, render_clip
from dcfnet_evaluation.sequences import AnnotatedSequence, Boxes, Frames, SequenceError

Size = tuple[int, int]  # width, height, px
MOST_BYTES = 4 * 2**30  # of decoded frames held at once
SIDES = range(32, 8193)  # px, of frames that can be asked for
CLIPS, CLIP_LENGTH = 4, 120  # rendered where there is no data set; more than one, so that an interval can be drawn


@dataclass(frozen=True)
class Footage:
    """A sequence in memory. frames: N of them, uint8 (H, W, 3) BGR. boxes: float64 (N, 4), 0-based frame pixels."""

    name: str
    frames: Sequence[Frame]
    boxes: Boxes

    @property
    def start(self) -> Start:
        """The first frame and its true box."""
        return Start(0, Box(*self.boxes[0].tolist()))


@dataclass(frozen=True)
class ResizedFrames:
    """Frames stretched to a size as they are read."""

    frames: Frames
    to: Size

    def __len__(self) -> int:
        return len(self.frames)

    def size(self) -> int:
        """Bytes of the files on disk."""
        return self.frames.size()

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming what cannot be read."""
        frame = self.frames.read(index)
        shrinks = frame.shape[1] > self.to[0]
        resized = cv2.resize(frame, self.to, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return resized.astype(np.uint8, copy=False)


@dataclass(frozen=True)
class RenderedFrames:
    """The frames of a rendered clip, by what it takes to draw them, so that they can be drawn in another process."""

    length: int
    seed: int

    def __len__(self) -> int:
        return self.length

    def size(self) -> int:
        """There are no files."""
        return 0

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (360, 640, 3) BGR."""
        return _clip(self.length, self.seed).frame(index)


def rendered_sequences(count: int = CLIPS, length: int = CLIP_LENGTH) -> list[AnnotatedSequence]:
    """Clips of 640 x 360 px whose truth is known, clip0, clip1 and so on; the same ones everywhere."""
    found = []
    for seed in range(count):
        boxes = np.array([tuple(_clip(length, seed).box(t)) for t in range(length)], dtype=np.float64)
        found.append(AnnotatedSequence(f"clip{seed}", RenderedFrames(length, seed), boxes))
    return found


@lru_cache(maxsize=CLIPS)
def _clip(length: int, seed: int) -> Clip:
    return render_clip(length, seed=seed)


def size_of(text: str) -> Size | None:
    """Width and height from "640x360"; None from "native". Raises ConfigError."""
    if text == "native":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) in SIDES and int(height) in SIDES):
        limits = f"from {SIDES[0]} to {SIDES[-1]} px a side"
        raise ConfigError(f"--size {text}: give WIDTHxHEIGHT, {limits}, such as 640x360, or native")
    return int(width), int(height)


def resized(sequence: AnnotatedSequence, size: Size | None) -> AnnotatedSequence:
    """The sequence with frames of this size, its boxes stretched with them; None leaves it as it is.

    Raises SequenceError where the first frame cannot be read.
    """
    if size is None:
        return sequence
    height, width = sequence.read(0).shape[:2]
    ratio = np.array([size[0] / width, size[1] / height])
    return replace(sequence, frames=ResizedFrames(sequence.frames, size), boxes=sequence.boxes * np.tile(ratio, 2))


def decode(sequence: AnnotatedSequence, limit: int | None = None) -> Footage:
    """The first `limit` frames, or all, in memory.

    Raises SequenceError for a frame that cannot be read, and for more than memory should hold.
    """
    count = len(range(len(sequence))[:limit])
    frames = [sequence.read(0)]
    if frames[0].nbytes * count > MOST_BYTES:
        height, width = frames[0].shape[:2]
        held = f"{frames[0].nbytes * count / 1e9:.1f} GB decoded, more than the {MOST_BYTES / 1e9:.1f} GB held at once"
        raise SequenceError(
            f"{sequence.name}: {count} frames of {width} x {height} px are {held}; give --limit, --size"
        )
    frames += [sequence.read(index) for index in range(1, count)]
    return Footage(sequence.name, frames, sequence.boxes[:count])
