"""Frames of a benchmark: sequences resized to one frame size and decoded into memory before any tracker runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from dcfnet.errors import ConfigError
from dcfnet.io.frame import Frame
from dcfnet.result import Box

from dcfnet_evaluation.changed_frames import ChangedFrames
from dcfnet_evaluation.passes.protocols import Start
from dcfnet_evaluation.rendered import Clip, render_clip
from dcfnet_evaluation.sequences import AnnotatedSequence, Boxes, SequenceError

Size = tuple[int, int]  # width, height, px
MOST_BYTES = 4 * 2**30  # limit of decoded frames in memory
SIDES = range(32, 8193)  # px, allowed sides of --size
CLIPS, CLIP_LENGTH = 4, 120  # rendered clips without a dataset; several, because an interval needs several


@dataclass(frozen=True)
class Footage:
    """A sequence in memory. frames: N arrays, uint8 (H, W, 3) BGR. boxes: float64 (N, 4), 0-based frame pixels."""

    name: str
    frames: Sequence[Frame]
    boxes: Boxes

    @property
    def start(self) -> Start:
        """The first frame and its true box."""
        return Start(0, Box(*self.boxes[0].tolist()))


@dataclass(frozen=True)
class ResizedFrames(ChangedFrames):
    """Frames that are resized to `to` when they are read."""

    to: Size

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        frame = self.frames.read(index)
        is_smaller = frame.shape[1] > self.to[0]
        resized = cv2.resize(frame, self.to, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
        return resized.astype(np.uint8, copy=False)


@dataclass(frozen=True)
class RenderedFrames:
    """The frames of a rendered clip. It stores only length and seed, so that another process can render it again."""

    length: int
    seed: int

    def __len__(self) -> int:
        return self.length

    def size(self) -> int:
        """0: there are no files."""
        return 0

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (360, 640, 3) BGR."""
        return _clip(self.length, self.seed).frame(index)


def rendered_sequences(count: int = CLIPS, length: int = CLIP_LENGTH) -> list[AnnotatedSequence]:
    """Rendered clips of 640 x 360 px with known true boxes: clip0, clip1, .... They are equal on every machine."""
    sequences = []
    for seed in range(count):
        boxes = np.array([tuple(_clip(length, seed).box(t)) for t in range(length)], dtype=np.float64)
        sequences.append(AnnotatedSequence(f"clip{seed}", RenderedFrames(length, seed), boxes))
    return sequences


@lru_cache(maxsize=CLIPS)
def _clip(length: int, seed: int) -> Clip:
    return render_clip(length, seed=seed)


def size_of(text: str) -> Size | None:
    """Parses "640x360" to width and height, "native" to None. Raises ConfigError."""
    if text == "native":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) in SIDES and int(height) in SIDES):
        limits = f"from {SIDES[0]} to {SIDES[-1]} px a side"
        raise ConfigError(f"--size {text}: must be WIDTHxHEIGHT, {limits}, for example 640x360, or native")
    return int(width), int(height)


def resized(sequence: AnnotatedSequence, size: Size | None) -> AnnotatedSequence:
    """The sequence with frames and boxes scaled to `size`; None returns it unchanged.

    Raises SequenceError if the first frame cannot be read.
    """
    if size is None:
        return sequence
    height, width = sequence.read(0).shape[:2]
    ratio = np.array([size[0] / width, size[1] / height])
    return replace(sequence, frames=ResizedFrames(sequence.frames, size), boxes=sequence.boxes * np.tile(ratio, 2))


def decode(sequence: AnnotatedSequence, limit: int | None = None) -> Footage:
    """Decodes the first `limit` frames, or all, into memory.

    Raises SequenceError if a frame cannot be read, or if the frames need more than MOST_BYTES.
    """
    count = len(range(len(sequence))[:limit])
    frames = [sequence.read(0)]
    if frames[0].nbytes * count > MOST_BYTES:
        height, width = frames[0].shape[:2]
        size = f"{frames[0].nbytes * count / 1e9:.1f} GB decoded; the limit is {MOST_BYTES / 1e9:.1f} GB"
        raise SequenceError(
            f"{sequence.name}: {count} frames of {width} x {height} px are {size}; use --limit or a smaller --size"
        )
    frames += [sequence.read(index) for index in range(1, count)]
    return Footage(sequence.name, frames, sequence.boxes[:count])
