"""The faults by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from dcfnet.io.frame import Frame

from dcfnet_evaluation.faults import pixels
from dcfnet_evaluation.sequences import Frames, SequenceError

LEAD = 10  # frames without a fault at the start
PERIOD = 20  # frames from one burst of a fault to the next

Read = Callable[[Frames, int, np.random.Generator], Frame]


@dataclass(frozen=True)
class Fault:
    """A fault.

    summary: one line. read: the frame with the fault, from the frames without it, the index and random numbers.
    burst: number of frames of each PERIOD that have the fault. drops: these frames are missing. scale: of the boxes in
    these frames.
    """

    name: str
    summary: str
    read: Read
    burst: int = PERIOD
    drops: bool = False
    scale: float = 1.0

    def hits(self, index: int) -> bool:
        """Whether the frame `index`, from 0, has the fault."""
        return index >= LEAD and (index - LEAD) % PERIOD < self.burst


def choose(names: str) -> list[Fault]:
    """The faults of a list of names, separated by commas, or of "all". Raises SequenceError for an unknown name."""
    if names == "all":
        return list(FAULTS.values())
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in FAULTS]
    if unknown:
        raise SequenceError(f"--faults {unknown[0]!r}: must be all or names from {', '.join(FAULTS)}")
    return [FAULTS[name] for name in dict.fromkeys(chosen)]


def _of_frame(change: Callable[[Frame], Frame]) -> Read:
    return lambda frames, index, rng: change(frames.read(index))


def _of_pair(frames: Frames, index: int) -> tuple[Frame, Frame]:
    """The frame and the frame before; the frame itself if that has another size."""
    frame, before = frames.read(index), frames.read(index - 1)
    return frame, before if before.shape == frame.shape else frame


def _frozen(frames: Frames, index: int, _: np.random.Generator) -> Frame:
    """The frame before the burst, bit for bit."""
    return frames.read(index - 1 - (index - LEAD) % PERIOD)


def _flickering(frames: Frames, index: int, _: np.random.Generator) -> Frame:
    frame = frames.read(index)
    return pixels.multiplied(frame, 0.65) if index % 2 else frame


def _by_name(*faults: Fault) -> Mapping[str, Fault]:
    return {fault.name: fault for fault in faults}


FAULTS = _by_name(
    Fault("noise", "noise of 25 grey levels", lambda frames, index, rng: pixels.noisy(frames.read(index), rng)),
    Fault("motion", "motion blur of 15 px", _of_frame(pixels.moved)),
    Fault("defocus", "Gaussian blur of 3 px", _of_frame(pixels.defocused)),
    Fault("jpeg", "JPEG of quality 10", _of_frame(pixels.compressed)),
    Fault("fog", "30 % of the contrast, brighter", _of_frame(pixels.foggy)),
    Fault("grey", "no colour", _of_frame(pixels.grey)),
    Fault("light", "pixels x 0.25 in 10 of 20 frames", _of_frame(partial(pixels.multiplied, factor=0.25)), burst=10),
    Fault("flicker", "pixels x 0.65 in every second frame", _flickering),
    Fault("black", "3 of 20 frames are black", _of_frame(pixels.black), burst=3),
    Fault("freeze", "5 of 20 frames repeat the frame before", _frozen, burst=5),
    Fault("drop", "5 of 20 frames are missing", _of_frame(np.copy), burst=5, drops=True),
    Fault(
        "torn",
        "5 of 20 frames have their lower part from the frame before",
        lambda frames, index, rng: pixels.torn(*_of_pair(frames, index), rng),
        burst=5,
    ),
    Fault("interlace", "every second row is of the frame before", lambda f, i, _: pixels.interlaced(*_of_pair(f, i))),
    Fault(
        "blocks",
        "a fifth of the 16 x 16 blocks is grey in 5 of 20 frames",
        lambda frames, index, rng: pixels.without_blocks(frames.read(index), rng),
        burst=5,
    ),
    Fault("resolution", "half of it in 10 of 20 frames", _of_frame(partial(pixels.scaled, factor=0.5)), 10, scale=0.5),
)
