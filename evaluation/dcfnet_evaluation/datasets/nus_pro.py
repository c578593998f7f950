"""NUS-PRO: one folder per sequence with images, `groundtruth.txt` and `occlusion.txt` (Li et al., TPAMI 2016).

Box rows are x1 y1 x2 y2, 1-based (MATLAB). Width and height are the differences, as in the code of DCFNet's authors
(load_video_info_nus_pro.m of foolwood/DCFNet). The third number of `datainfo.txt` is the number of annotated frames.
The levels in `occlusion.txt` are none, partial and full; with full occlusion the target counts as absent.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files

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
    """Lists all sequences under `root` with boxes."""
    folders = [folder for folder in subfolders(root) if (folder / "groundtruth.txt").is_file()]
    return Listing({folder.name: partial(_open, folder) for folder in folders})


def _open(folder: Path) -> AnnotatedSequence:
    corners = read_boxes(folder / "groundtruth.txt")
    boxes = np.concatenate([corners[:, :2] - 1, corners[:, 2:] - corners[:, :2]], axis=1)
    hidden = read_flags(folder / "occlusion.txt", len(boxes)) == HIDDEN
    return open_images(
        folder, mark_absent(boxes, hidden), image_files(folder)[: _annotated_frames(folder / "datainfo.txt")]
    )


def _annotated_frames(file: Path) -> int | None:
    """The number of annotated frames; None if the file does not exist."""
    if not file.is_file():
        return None
    numbers = [value for n, text in enumerate(read_lines(file), start=1) for value in read_numbers(file, n, text)]
    if len(numbers) < 3 or np.isnan(numbers[2]):
        raise SequenceError(
            f"{file}: has {len(numbers)} numbers; the third must be the number of annotated frames; correct the file"
        )
    return int(numbers[2])
