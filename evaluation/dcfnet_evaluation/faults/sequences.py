"""A sequence with a fault."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from dcfnet.io.frame import Frame

from dcfnet_evaluation.changed_frames import ChangedFrames
from dcfnet_evaluation.faults.catalogue import FAULTS, Fault
from dcfnet_evaluation.sequences import AnnotatedSequence


@dataclass(frozen=True)
class FaultyFrames(ChangedFrames):
    """The frames of a sequence with a fault. It can be sent to another process.

    fault: its name. kept: indices into `frames`; frames that the fault drops are missing.
    """

    fault: str
    sequence: str
    kept: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.kept)

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        fault, place = FAULTS[self.fault], self.kept[index]
        if not fault.hits(place):
            return self.frames.read(place)
        seed = [zlib.crc32(f"{self.sequence} {self.fault}".encode()), place]
        return fault.read(self.frames, place, np.random.default_rng(seed))


def with_fault(sequence: AnnotatedSequence, fault: Fault) -> AnnotatedSequence:
    """The sequence with the fault in its frames. The true boxes are those of the frames that are left.

    In a frame of `scale` times the resolution, each number of a box is `scale` times as large: a box covers the pixels
    x .. x + w - 1, so its left edge is x px from the left edge of the frame.
    """
    hit = np.array([fault.hits(index) for index in range(len(sequence))])
    kept = np.flatnonzero(~hit) if fault.drops else np.arange(len(sequence))
    boxes = np.where(hit[:, None], sequence.boxes * fault.scale, sequence.boxes)[kept]
    frames = FaultyFrames(sequence.frames, fault.name, sequence.name, tuple(kept.tolist()))
    return AnnotatedSequence(sequence.name, frames, boxes, sequence.attributes)
