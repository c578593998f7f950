"""Starts of the passes: OPE, TRE and SRE of the OTB benchmark (Wu et al., CVPR 2013, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dcfnet.result import Box

from dcfnet_evaluation.sequences import AnnotatedSequence

SEGMENTS = 20  # most starts of TRE
EVERY = 4  # `few_starts` uses every fourth start
SHORTEST = 20  # frames of the last segment of TRE, at least
SHIFT = 0.1  # shift of the first box in SRE, as a share of the target size
SCALES = (0.8, 0.9, 1.1, 1.2)  # scale factors of the first box in SRE


@dataclass(frozen=True)
class Start:
    """The start of a pass. index: 0-based frame. box: box that the tracker gets, 0-based frame pixels."""

    index: int
    box: Box


def ope(sequence: AnnotatedSequence) -> list[Start]:
    """One-pass evaluation: the first frame with its true box."""
    return [_true_start(sequence, 0)]


def tre(sequence: AnnotatedSequence) -> list[Start]:
    """Temporal robustness evaluation: 20 frames at equal distances, fewer in a short sequence, with their true boxes.

    If the target is absent from a start frame, the start moves to the next frame that shows the target.
    """
    last = max(len(sequence) - SHORTEST, 0)
    present = np.flatnonzero(np.isfinite(sequence.boxes).all(axis=1))
    even = np.floor(np.linspace(0, last, SEGMENTS))
    starts = present[np.minimum(np.searchsorted(present, even), len(present) - 1)]
    return [_true_start(sequence, int(index)) for index in np.unique(starts)]


def few_starts(sequence: AnnotatedSequence) -> list[Start]:
    """Every fourth start of TRE, five per sequence: a quarter of the time, and much less noise than one start."""
    return tre(sequence)[::EVERY]


def sre(sequence: AnnotatedSequence) -> list[Start]:
    """Spatial robustness evaluation: the first frame, its true box shifted in 8 directions and scaled by 4 factors."""
    first_box = Box(*sequence.boxes[0])
    shifts = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dx, dy) != (0, 0)]
    shifted = [
        Box(first_box.x + SHIFT * dx * first_box.w, first_box.y + SHIFT * dy * first_box.h, first_box.w, first_box.h)
        for dx, dy in shifts
    ]
    scaled = [Box.of(first_box.centre, (first_box.w * scale, first_box.h * scale)) for scale in SCALES]
    return [Start(0, box) for box in shifted + scaled]


PROTOCOLS: dict[str, Callable[[AnnotatedSequence], list[Start]]] = {"ope": ope, "tre": tre, "sre": sre}


def _true_start(sequence: AnnotatedSequence, index: int) -> Start:
    return Start(index, Box(*sequence.boxes[index]))
