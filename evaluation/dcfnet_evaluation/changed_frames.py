"""Frames of a sequence that are changed when they are read."""

from __future__ import annotations

from dataclasses import dataclass

from dcfnet.io.frame import Frame

from dcfnet_evaluation.sequences import Frames


@dataclass(frozen=True)
class ChangedFrames:
    """Base class of frames that are made from others; see `Frames`. A subclass defines `read`, and adds its settings.

    frames: without the change.
    """

    frames: Frames

    def __len__(self) -> int:
        return len(self.frames)

    def size(self) -> int:
        """Bytes of the files on disk."""
        return self.frames.size()

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        raise NotImplementedError
