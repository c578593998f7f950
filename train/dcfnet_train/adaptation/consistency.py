"""Forward and back: a target is followed through a segment, then from where it was found back to where it began.

The camera is shaken on both ways, each in its own manner: a tracker that stays where it is would come back every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.geometry import Box
from dcfnet_evaluation.metrics import overlaps
from dcfnet_evaluation.passes import Pass, SingleTracker, run_pass
from dcfnet_evaluation.protocols import Start
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray

from dcfnet_train.adaptation.proposals import propose
from dcfnet_train.adaptation.segments import HeldFrames, Unlabelled

SHAKE = 0.4  # of the target's size: how far the camera moves to each side
TARGETS = 4  # proposals in a segment
RETURNED = 0.6  # overlap of the way there with the way back, in the worst frame, from which a target counts as found


@dataclass(frozen=True)
class Trip:
    """A target on both ways. there, back: float64 (N, 4), x, y, w, h, in the order and the pixels of the frames."""

    there: NDArray[np.float64]
    back: NDArray[np.float64]
    done: Pass  # the way back, as it was run

    @classmethod
    def take(cls, tracker: SingleTracker, frames: Sequence[Frame], box: Box, rng: np.random.Generator) -> Trip:
        """Follows the target in `box` of the first frame, 0-based frame pixels."""
        ways = [_shake(rng, len(frames), box) for _ in range(2)]
        there = _follow(tracker, frames, box, ways[0])
        boxes = there.boxes - ways[0]
        turned = ways[1][::-1]
        back = _follow(tracker, frames[::-1], Box(*boxes[-1]), turned)
        return cls(boxes, (back.boxes - turned)[::-1], back)

    def returned(self) -> bool:
        """Whether both ways agree in every frame."""
        return bool(overlaps(self.there, self.back).min() >= RETURNED)

    def labels(self) -> NDArray[np.float64]:
        """The boxes of both ways, their mean, float64 (N, 4)."""
        return (self.there + self.back) / 2

    def score(self, name: str, frames: Sequence[Frame]) -> Score:
        """How well the way back follows the way there, which is its truth: success AUC and all."""
        sequence = AnnotatedSequence(name, HeldFrames(tuple(frames)), self.there[::-1])
        return Score.of([replace(self.done, boxes=self.back[::-1])], sequence)


@dataclass(frozen=True)
class Candidate:
    """A target to start from. number: of the candidate in its segment; chance depends on it alone."""

    frames: tuple[Frame, ...]
    box: Box
    rng: np.random.Generator


def candidates(video: Unlabelled, start: int, seed: int, given: Box | None = None) -> Iterator[Candidate]:
    """The given target of a segment, and those that are proposed; the same ones whenever they are asked for."""
    frames = video.segment(start)
    rng = np.random.default_rng((seed, start))
    boxes = propose(rng, frames[0], frames[len(frames) // 4], TARGETS)
    for number, box in enumerate(([given] if given else []) + boxes):
        yield Candidate(frames, box, np.random.default_rng((seed, start, number)))


def _shake(rng: np.random.Generator, count: int, box: Box) -> NDArray[np.float64]:
    """Whole pixels by which the picture moves, (x, y, 0, 0) a frame: once about the middle, from a chance place."""
    turn = 2 * np.pi * (np.arange(count)[:, None] / count + rng.uniform(size=2))
    moved = np.round(SHAKE * np.sin(turn) * np.array(box.size))
    return np.concatenate([moved, np.zeros_like(moved)], axis=1)


def _follow(tracker: SingleTracker, frames: Sequence[Frame], box: Box, moves: NDArray[np.float64]) -> Pass:
    """The tracker over the frames, the picture moved in each; its boxes are those of the moved pictures."""
    moved = tuple(_moved(frame, *move[:2]) for frame, move in zip(frames, moves, strict=True))
    unknown = np.full((len(frames), 4), np.nan)
    start = Start(0, Box(box.x + moves[0, 0], box.y + moves[0, 1], box.w, box.h))
    return run_pass(tracker, AnnotatedSequence("", HeldFrames(moved), unknown), start)


def _moved(frame: Frame, x: float, y: float) -> Frame:
    """The picture moved by whole pixels, its border drawn out."""
    size = (frame.shape[1], frame.shape[0])
    moving = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    return cv2.warpAffine(frame, moving, size, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
