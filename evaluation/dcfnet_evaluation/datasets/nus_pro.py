"""NUS-PRO: a folder a sequence with its images, `groundtruth.txt` and `occlusion.txt` (Li et al., TPAMI 2016).

Rows of boxes are x1 y1 x2 y2, 1-based (MATLAB), and width and height are their differences, as DCFNet's authors read
them (load_video_info_nus_pro.m of foolwood/DCFNet). The third number of `datainfo.txt` is how many frames are
annotated. Of the three levels in `occlusion.txt` (none, partial, full), full means that there is no target to see.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.frames import image_files

from dcfnet_evaluation.datasets.listing import Listing, read_flags, subfolders
from dcfnet_evaluation.sequences import (
    AnnotatedSequence,
    SequenceError,
    mark_absent,
    open_images,
    read_boxes,
    read_lines,
    read_numbers,
)

HIDDEN = 2  # in occlusion.txt: fully occluded


def find(root: Path, subset: str | None) -> Listing:
    """All sequences under `root` that come with boxes."""
    folders = [folder for folder in subfolders(root) if (folder / "groundtruth.txt").is_file()]
    return Listing({folder.name: partial(_open, folder) for folder in folders})


def _open(folder: Path) -> AnnotatedSequence:
    corners = read_boxes(folder / "groundtruth.txt")
    boxes = np.concatenate([corners[:, :2] - 1, corners[:, 2:] - corners[:, :2]], axis=1)
    hidden = read_flags(folder / "occlusion.txt", len(boxes)) == HIDDEN
    return open_images(folder, mark_absent(boxes, hidden), image_files(folder)[: _annotated(folder / "datainfo.txt")])


def _annotated(file: Path) -> int | None:
    """How many of the frames are annotated; None where nothing tells."""
    if not file.is_file():
        return None
    numbers = [value for n, text in enumerate(read_lines(file), start=1) for value in read_numbers(file, n, text)]
    if len(numbers) < 3:
        raise SequenceError(f"{file}: {len(numbers)} numbers, but the third is the number of annotated frames")
    return int(numbers[2])
