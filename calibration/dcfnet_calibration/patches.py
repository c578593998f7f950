"""Real patches for the measurement of activations, cropped as in the tracker.

A view is a search in one frame: at an offset from the true box, and at one scale of the pyramid. A share of the views
is made hard: the same frames with the changes below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.io.frame import Frame
from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from numpy.typing import NDArray

MAX_OFFSET = 0.5  # of the search patch from the target / target size, on each axis
HARD = 0.4  # share of the hard views
BLUR = 0.3  # motion of the target during the exposure / target size
LIGHT, NOISE = 0.15, 4.0  # low light: factor of the brightness; std of the noise, grey levels
HELD_OUT = 0.25  # share of the frames at the end of each sequence that are not measured
PLAIN = "plain"


@dataclass(frozen=True)
class Patches:
    """N views. template, search: float32 (N, 3, S, S), BGR minus mean. kinds: kind of each search patch.

    The template patch is centred on the true box, in the original frame. The search patch has an offset, and comes from
    the frame after the change of its kind.
    """

    template: NDArray[np.float32]
    search: NDArray[np.float32]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)


def collect(
    sequences: Sequence[AnnotatedSequence], pipeline: Pipeline, count: int, seed: int = 0, held_out: bool = False
) -> Patches:
    """Crops `count` views, spread over the sequences and their frames, with the crop of the tracker.

    held_out: uses the last frames of each sequence, else the frames before. The same seed produces the same views.
    Raises SequenceError if no sequence has a usable box.
    """
    frames = [(sequence, usable_frames(sequence, held_out)) for sequence in sequences]
    frames = [(sequence, usable) for sequence, usable in frames if len(usable)]
    if not frames:
        raise SequenceError(
            f"no usable box in {', '.join(sequence.name for sequence in sequences) or 'no sequences'}: a target of at "
            f"least {MIN_TARGET_SIDE:g} px is needed in several frames; use other sequences"
        )
    shares = [len(range(i, count, len(frames))) for i in range(len(frames))]
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32], str]] = []
    for number, ((sequence, usable), share) in enumerate(zip(frames, shares, strict=True)):
        rng = np.random.default_rng((seed, number, int(held_out)))
        pairs += [_crop_view(pipeline, rng, *view) for view in _views(rng, sequence, usable, share)]
    template, search, kinds = zip(*pairs, strict=True)
    return Patches(np.concatenate(template), np.concatenate(search), tuple(kinds))


def usable_frames(sequence: AnnotatedSequence, held_out: bool) -> NDArray[np.intp]:
    """Frames with a box that a tracker can start from: the last quarter of them, or the others."""
    usable = np.flatnonzero((sequence.boxes[:, 2:] >= MIN_TARGET_SIDE).all(axis=1))
    first = len(usable) - int(HELD_OUT * len(usable))
    return usable[first:] if held_out else usable[:first]


def _views(
    rng: np.random.Generator, sequence: AnnotatedSequence, usable: NDArray[np.intp], count: int
) -> Iterator[tuple[Frame, Box, str]]:
    """Frame, true box and kind of `count` views, in frame order, so that a video is decoded once."""
    order = list(KINDS)
    for index in np.sort(rng.choice(usable, count, replace=count > len(usable))):
        kind = order[rng.integers(len(order))] if rng.random() < HARD else PLAIN
        yield sequence.read(int(index)), Box(*sequence.boxes[index]), kind


def _crop_view(
    pipeline: Pipeline, rng: np.random.Generator, frame: Frame, box: Box, kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """The template and the search patch of a view, float32 (1, 3, S, S) each, and its kind."""
    centre, size = np.array([box.centre]), np.array([box.size])
    region = pipeline.search_regions(size)
    changed = KINDS[kind](rng, frame, box) if kind in KINDS else frame
    offset = rng.uniform(-MAX_OFFSET, MAX_OFFSET, size=2) * size
    places = ((frame, centre, region), (changed, centre + offset, region * rng.choice(pipeline.scales)))
    template, search = (
        pipeline.backend.crop(
            {0: f}, np.zeros(1, np.intp), c, pipeline.patch_regions(r), pipeline.config.patch_size, pipeline.mean
        )
        for f, c, r in places
    )
    return template, search, kind


def blur(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame with motion blur: a length of BLUR x target size, in a random direction."""
    length = max(BLUR * float(np.sqrt(box.w * box.h)), 2.0)
    side = 2 * int(np.ceil(length / 2)) + 1
    angle, middle = rng.uniform(0, np.pi), (side - 1) / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    start, stop = ((middle + sign * step).round().astype(int).tolist() for sign in (-1, 1))
    kernel = cv2.line(np.zeros((side, side), np.float32), start, stop, (1.0,))
    return cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def darken(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame at LIGHT of its brightness, with sensor noise."""
    noise = rng.normal(0, NOISE, frame.shape)
    dark: Frame = (frame * LIGHT + noise + 0.5).clip(0, 255).astype(np.uint8)
    return dark


def cut_off(rng: np.random.Generator, frame: Frame, box: Box) -> Frame:
    """The frame cropped at the right or lower edge of the target. About a third of a patch is then mean colour."""
    right, bottom = int(np.ceil(box.x + box.w)), int(np.ceil(box.y + box.h))
    part = frame[:, : max(right, 1)] if rng.random() < 0.5 else frame[: max(bottom, 1)]
    return np.ascontiguousarray(part)


KINDS: dict[str, Callable[[np.random.Generator, Frame, Box], Frame]] = {
    "blur": blur,
    "low light": darken,
    "border": cut_off,
}
