"""Annotated sequences on disk. Conversions to the package's 0-based boxes happen here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.frames import image_files
from numpy.typing import NDArray


class SequenceError(ValueError):
    """A sequence whose files do not fit together; the message names file and line."""


@dataclass(frozen=True)
class AnnotatedSequence:
    """A sequence of frames with the true box of each.

    frames: image files in order. boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels.
    """

    name: str
    frames: tuple[Path, ...]
    boxes: NDArray[np.float64]

    def read(self, index: int) -> Frame:
        """Frame `index`, uint8 (H, W, 3) BGR. Raises SequenceError naming a file that cannot be read."""
        image = cv2.imread(str(self.frames[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise SequenceError(f"{self.frames[index]}: not a readable image")
        return image.astype(np.uint8, copy=False)


def read_boxes(file: Path) -> NDArray[np.float64]:
    """Rows of four numbers, float64 (N, 4), as they stand in the file: commas, tabs or spaces between them.

    Raises SequenceError naming the line that is not four numbers.
    """
    rows = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(value) for value in re.split(r"[,\s]+", line.strip())]
        except ValueError:
            row = []
        if len(row) != 4:
            raise SequenceError(f"{file}:{number}: {line.strip()!r} is not the four numbers x, y, w, h")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def read_otb(folder: Path) -> AnnotatedSequence:
    """A sequence in OTB's layout: `img/` and `groundtruth_rect.txt` of 1-based boxes.

    Raises SequenceError when there are not as many frames as boxes.
    """
    images = folder / "img"
    if not images.is_dir():
        raise SequenceError(f"{folder}: has no folder img/ with its frames")
    frames = image_files(images)
    boxes = read_boxes(folder / "groundtruth_rect.txt") - (1, 1, 0, 0)
    if len(frames) != len(boxes) or not len(frames):
        raise SequenceError(f"{folder}: {len(frames)} frames but {len(boxes)} boxes")
    return AnnotatedSequence(folder.name, frames, boxes)


def read_otb_dataset(root: Path, names: list[str] | None = None) -> list[AnnotatedSequence]:
    """All sequences under `root`, or those named, in order. Raises SequenceError where there is none."""
    folders = sorted(p for p in root.iterdir() if (p / "groundtruth_rect.txt").is_file()) if root.is_dir() else []
    if names is not None:
        missing = sorted(set(names) - {p.name for p in folders})
        if missing:
            raise SequenceError(
                f"{root}: no sequence {', '.join(missing)}; there are {', '.join(p.name for p in folders)}"
            )
        folders = [p for p in folders if p.name in names]
    if not folders:
        raise SequenceError(f"{root}: no sequences in OTB's layout (NAME/img and NAME/groundtruth_rect.txt)")
    return [read_otb(folder) for folder in folders]
