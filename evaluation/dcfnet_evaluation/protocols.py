"""Where an evaluation starts its tracker: OPE, TRE and SRE of the OTB benchmark (Wu et al., CVPR 2013, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dcfnet.geometry import Box

from dcfnet_evaluation.sequences import AnnotatedSequence

SEGMENTS = 20  # starts of TRE
EVERY = 4  # of these, where a few must do
SHORTEST = 20  # frames that the last segment of TRE has, at least
SHIFT = 0.1  # of the target's size, by which SRE moves the first box
SCALES = (0.8, 0.9, 1.1, 1.2)  # by which SRE sizes the first box


@dataclass(frozen=True)
class Start:
    """A frame, counted from 0, and the box that the tracker is given there, 0-based frame pixels."""

    index: int
    box: Box


def ope(sequence: AnnotatedSequence) -> list[Start]:
    """One-pass evaluation: the first frame with its true box."""
    return [_true_start(sequence, 0)]


def tre(sequence: AnnotatedSequence) -> list[Start]:
    """Temporal robustness: 20 frames spread evenly, fewer in a short sequence, each with its true box.

    A start that falls on a frame without its target is moved on to the next that has it.
    """
    last = max(len(sequence) - SHORTEST, 0)
    present = np.flatnonzero(np.isfinite(sequence.boxes).all(axis=1))
    wanted = np.floor(np.linspace(0, last, SEGMENTS))
    later = present[np.minimum(np.searchsorted(present, wanted), len(present) - 1)]
    return [_true_start(sequence, int(index)) for index in np.unique(later)]


def few_starts(sequence: AnnotatedSequence) -> list[Start]:
    """Every fourth start of TRE: five a sequence, a quarter of the time, still far steadier than one."""
    return tre(sequence)[::EVERY]


def sre(sequence: AnnotatedSequence) -> list[Start]:
    """Spatial robustness: the first frame with its true box shifted eight ways and scaled four ways."""
    true = Box(*sequence.boxes[0])
    shifts = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dx, dy) != (0, 0)]
    shifted = [Box(true.x + SHIFT * dx * true.w, true.y + SHIFT * dy * true.h, true.w, true.h) for dx, dy in shifts]
    scaled = [Box.of(true.centre, (true.w * scale, true.h * scale)) for scale in SCALES]
    return [Start(0, box) for box in shifted + scaled]


PROTOCOLS: dict[str, Callable[[AnnotatedSequence], list[Start]]] = {"ope": ope, "tre": tre, "sre": sre}


def _true_start(sequence: AnnotatedSequence, index: int) -> Start:
    return Start(index, Box(*sequence.boxes[index]))
