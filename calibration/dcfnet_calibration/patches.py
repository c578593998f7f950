"""Real patches, cut as the tracker cuts them: what activations are measured on.

A view is a frame in which the target is looked for: a little aside of its true box and at one of the pyramid's scales.
A share of the views is hard on purpose, made from the same frames with a strength that is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.geometry import Box
from dcfnet.pipeline import Pipeline
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from numpy.typing import NDArray

ASIDE = 0.5  # of the target's size, at most, that it lies off the middle on each axis
HARD = 0.4  # share of the views that are made hard
BLUR = 0.3  # of the target's size: how far it moves while the shutter is open
LIGHT, NOISE = 0.15, 4.0  # low light: the share that is left of it, and the noise's standard deviation, grey levels
HELD_OUT = 0.25  # share of each sequence's frames, its last, that ranges are not measured on
PLAIN = "plain"


@dataclass(frozen=True)
class Patches:
    """N views of targets. template, search: float32 (N, 3, S, S), BGR, mean taken off; kinds: what the search shows.

    The template is cut from the frame as it is, in the middle of the true box; the search patch is cut aside of it,
    from the frame as its kind made it.
    """

    template: NDArray[np.float32]
    search: NDArray[np.float32]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)


def collect(
    sequences: Sequence[AnnotatedSequence], pipeline: Pipeline, count: int, seed: int = 0, held_out: bool = False
) -> Patches:
    """`count` views, spread over sequences and their frames, through the tracker's own crop.

    held_out: from the last frames of every sequence, else from those before. The same seed gives the same views.
    Raises SequenceError where no sequence has a usable box.
    """
    frames = [(sequence, usable_frames(sequence, held_out)) for sequence in sequences]
    frames = [(sequence, usable) for sequence, usable in frames if len(usable)]
    if not frames:
        raise SequenceError(
            f"no usable box in {', '.join(sequence.name for sequence in sequences) or 'no sequences'}: a target of at "
            f"least {MIN_TARGET_SIDE:g} px must be there in several frames"
        )
    shares = [len(range(i, count, len(frames))) for i in range(len(frames))]
    cut: list[tuple[NDArray[np.float32], NDArray[np.float32], str]] = []
    for number, ((sequence, usable), share) in enumerate(zip(frames, shares, strict=True)):
        rng = np.random.default_rng((seed, number, int(held_out)))
        cut += [_cut(pipeline, rng, *view) for view in _views(rng, sequence, usable, share)]
    template, search, kinds = zip(*cut, strict=True)
    return Patches(np.concatenate(template), np.concatenate(search), tuple(kinds))


def usable_frames(sequence: AnnotatedSequence, held_out: bool) -> NDArray[np.intp]:
    """Frames that have a box a tracker could start from: the last quarter of them, or those before."""
    usable = np.flatnonzero((sequence.boxes[:, 2:] >= MIN_TARGET_SIDE).all(axis=1))
    first = len(usable) - int(HELD_OUT * len(usable))
    return usable[first:] if held_out else usable[:first]


def _views(
    rng: np.random.Generator, sequence: AnnotatedSequence, usable: NDArray[np.intp], count: int
) -> Iterator[tuple[Frame, Box, str]]:
    """Frame, true box and kind of `count` views, in the order of the frames: a video is decoded once."""
    order = list(KINDS)
    for index in np.sort(rng.choice(usable, count, replace=count > len(usable))):
        kind = order[rng.integers(len(order))] if rng.random() < HARD else PLAIN
        yield sequence.read(int(index)), Box(*sequence.boxes[index]), kind


def _cut(
    pipeline: Pipeline, rng: np.random.Generator, frame: Frame, box: Box, kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """The two patches of a view, float32 (1, 3, S, S) each."""
    centre, size = np.array([box.centre]), np.array([box.size])
    region = pipeline.regions(size)
    seen = KINDS[kind](rng, frame, box) if kind in KINDS else frame
    aside = rng.uniform(-ASIDE, ASIDE, size=2) * size
    places = ((frame, centre, region), (seen, centre + aside, region * rng.choice(pipeline.scales)))
    template, search = (
        pipeline.backend.crop([f], np.zeros(1, np.intp), c, r, pipeline.config.patch_size, pipeline.mean)
        for f, c, r in places
    )
    return template, search, kind


def blur(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame as it is while target or camera moves by BLUR of the target's size, in some direction."""
    length = max(BLUR * float(np.sqrt(box.w * box.h)), 2.0)
    side = 2 * int(np.ceil(length / 2)) + 1
    angle, middle = rng.uniform(0, np.pi), (side - 1) / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    start, stop = ((middle + sign * step).round().astype(int).tolist() for sign in (-1, 1))
    kernel = cv2.line(np.zeros((side, side), np.float32), start, stop, (1.0,))
    return cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def darken(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame at LIGHT of its light, with a sensor's noise."""
    noise = rng.normal(0, NOISE, frame.shape)
    dark: Frame = (frame * LIGHT + noise + 0.5).clip(0, 255).astype(np.uint8)
    return dark


def cut_off(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame as if it ended at the target's right or lower edge: beyond it a patch is the mean, a third of it."""
    right, bottom = int(np.ceil(box.x + box.w)), int(np.ceil(box.y + box.h))
    part = frame[:, : max(right, 1)] if rng.random() < 0.5 else frame[: max(bottom, 1)]
    return np.ascontiguousarray(part)


KINDS: dict[str, Callable[[np.random.Generator, Frame, Box], Frame]] = {
    "blur": blur,
    "low light": darken,
    "border": cut_off,
}
