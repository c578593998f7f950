"""Forward-backward consistency: tracks a target through a segment, then from its last box back to the first frame.

A simulated camera shake, different in each direction, moves the frames. Without it, a tracker that never moves would
always come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.result import Box
from dcfnet_evaluation.passes import Pass, SingleTracker, run_pass
from dcfnet_evaluation.passes.protocols import Start
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.scores.metrics import overlaps
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray

from dcfnet_train.adaptation.proposals import propose
from dcfnet_train.adaptation.segments import HeldFrames, Unlabelled

SHAKE = 0.4  # amplitude of the camera shake / target size
TARGETS = 4  # proposals per segment
RETURNED = 0.6  # smallest overlap of the forward and the backward box, in the worst frame, for a valid label


@dataclass(frozen=True)
class Trip:
    """One target, tracked in both directions.

    there, back: boxes of the forward and the backward pass, float64 (N, 4), x, y, w, h, frame pixels, frame order.
    """

    there: NDArray[np.float64]
    back: NDArray[np.float64]
    done: Pass  # the backward pass, in its own order and on shaken frames

    @classmethod
    def take(cls, tracker: SingleTracker, frames: Sequence[Frame], box: Box, rng: np.random.Generator) -> Trip:
        """Tracks the target forward and backward. box: in the first frame, 0-based frame pixels."""
        shakes = [_shake(rng, len(frames), box) for _ in range(2)]
        forward = _track(tracker, frames, box, shakes[0])
        boxes = forward.boxes - shakes[0]
        reversed_shake = shakes[1][::-1]
        backward = _track(tracker, frames[::-1], Box(*boxes[-1]), reversed_shake)
        return cls(boxes, (backward.boxes - reversed_shake)[::-1], backward)

    def returned(self) -> bool:
        """Whether the boxes of both passes overlap enough in every frame."""
        return bool(overlaps(self.there, self.back).min() >= RETURNED)

    def labels(self) -> NDArray[np.float64]:
        """The mean boxes of both passes, float64 (N, 4)."""
        return (self.there + self.back) / 2

    def score(self, name: str, frames: Sequence[Frame]) -> Score:
        """Score of the backward pass, with the boxes of the forward pass as ground truth."""
        sequence = AnnotatedSequence(name, HeldFrames(tuple(frames)), self.there[::-1])
        return Score.of([replace(self.done, boxes=self.back[::-1])], sequence)


@dataclass(frozen=True)
class Candidate:
    """A target in the first of `frames`. rng: random numbers for this target."""

    frames: tuple[Frame, ...]
    box: Box
    rng: np.random.Generator


def candidates(video: Unlabelled, start: int, seed: int, given: Box | None = None) -> Iterator[Candidate]:
    """The given target of a segment and the proposed ones. The same arguments yield the same targets."""
    frames = video.segment(start)
    rng = np.random.default_rng((seed, start))
    boxes = propose(rng, frames[0], frames[len(frames) // 4], TARGETS)
    for number, box in enumerate(([given] if given else []) + boxes):
        yield Candidate(frames, box, np.random.default_rng((seed, start, number)))


def _shake(rng: np.random.Generator, count: int, box: Box) -> NDArray[np.float64]:
    """Shift of each frame, whole pixels, (N, 4) as x, y, 0, 0: one sine period on each axis, with a random phase."""
    phase = 2 * np.pi * (np.arange(count)[:, None] / count + rng.uniform(size=2))
    shifts = np.round(SHAKE * np.sin(phase) * np.array(box.size))
    return np.concatenate([shifts, np.zeros_like(shifts)], axis=1)


def _track(tracker: SingleTracker, frames: Sequence[Frame], box: Box, shifts: NDArray[np.float64]) -> Pass:
    """Tracks over the shifted frames. The boxes are in pixels of the shifted frames."""
    shifted = tuple(_shifted(frame, *shift[:2]) for frame, shift in zip(frames, shifts, strict=True))
    unknown = np.full((len(frames), 4), np.nan)
    start = Start(0, Box(box.x + shifts[0, 0], box.y + shifts[0, 1], box.w, box.h))
    return run_pass(tracker, AnnotatedSequence("", HeldFrames(shifted), unknown), start)


def _shifted(frame: Frame, x: float, y: float) -> Frame:
    """The frame shifted by whole pixels, with a replicated border."""
    size = (frame.shape[1], frame.shape[0])
    translation = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    return cv2.warpAffine(frame, translation, size, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
