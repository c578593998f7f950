"""Whether `rotation_step` helps: python -m benchmarks.rolling_camera FOLDER... [--limit FRAMES] [--output FILE].

Folders in OTB's layout. Each sequence is tracked once from its first frame, without the option and with it, in turn on
the same frames. With a roll of A degrees per frame, each frame is turned around its middle by A times its index, as by
a camera that rolls. The border is mirrored to fill the rest. The centre of the true box turns with the frame, and the
box is upright around the turned ellipse in it. A frame does not count while this centre is outside it. Printed as by
`benchmarks/camera_motion.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.tracker import Tracker
from dcfnet.tracking.geometry import turned_size
from dcfnet_evaluation.changed_frames import ChangedFrames
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray

from benchmarks.camera_motion import WITH, WITHOUT, compared


@dataclass(frozen=True)
class RolledFrames(ChangedFrames):
    """Frames of a camera that rolls. degrees: per frame."""

    degrees: float

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError if it cannot be read."""
        frame = self.frames.read(index)
        height, width = frame.shape[:2]
        turn = turn_of((width, height), self.degrees * index)
        rolled: Frame = cv2.warpAffine(frame, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        return rolled


def turn_of(size: tuple[int, int], degrees: float) -> NDArray[np.float64]:
    """The affine transform (2, 3) that turns a frame of this size (width, height) clockwise around its middle."""
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    return np.asarray(cv2.getRotationMatrix2D(middle, -degrees, 1))  # OpenCV counts counter-clockwise


def rolled(sequence: AnnotatedSequence, degrees: float) -> AnnotatedSequence:
    """The sequence, seen by a camera that rolls by so many degrees per frame."""
    if not degrees:
        return sequence
    height, width = sequence.read(0).shape[:2]
    boxes = sequence.boxes.copy()
    for index, box in enumerate(boxes):
        half = (box[2:] - 1) / 2
        centre = turn_of((width, height), degrees * index) @ [*(box[:2] + half), 1]
        inside = ((centre > 0) & (centre < (width - 1, height - 1))).all()
        box[2:] = turned_size(box[None, 2:], np.radians([degrees * index]))[0]
        box[:2] = centre - (box[2:] - 1) / 2 if inside else np.nan
    boxes[np.isnan(boxes[:, 0])] = np.nan
    return dataclasses.replace(sequence, frames=RolledFrames(sequence.frames, degrees), boxes=boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--roll", type=float, nargs="+", default=[0, 2, 4], metavar="DEGREES")
    parser.add_argument("--step", type=float, default=10.0, help="rotation_step, degrees")
    parser.add_argument("--limit", type=int, default=120, help="frames of each pass")
    parser.add_argument("--leave-out", action="append", default=[], metavar="NAME")
    parser.add_argument("--output", type=Path, help="JSON file for the scores of all sequences")
    chosen = parser.parse_args()
    steps = {WITHOUT: 0.0, WITH: chosen.step}
    trackers = {name: Tracker(config={"rotation_step": step}, device="cpu", threads=1) for name, step in steps.items()}
    rows = compared(trackers, chosen, "roll", 1, rolled)
    if chosen.output:
        content = {"step": chosen.step, "limit": chosen.limit, "sequences": rows}
        chosen.output.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
