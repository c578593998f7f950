"""TempleColor-128: NAME/img/, NAME/NAME_frames.txt and NAME/NAME_gt.txt (Liang et al., TIP 2015).

NAME_frames.txt contains the numbers of the first and last frame, in one row. Boxes in the files are 1-based: the
benchmark is the MATLAB code of OTB, and sequences in both datasets have the same boxes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, find_file, frames_between, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, open_images, read_boxes


def find(root: Path, subset: str | None) -> Listing:
    """Lists all sequences under `root`. Files have the name of their folder, but upper and lower case can differ."""
    truths = {folder: find_file((folder,), f"{folder.name}_gt.txt") for folder in subfolders(root)}
    return Listing({folder.name: partial(_open, folder, truth) for folder, truth in truths.items() if truth})


def _open(folder: Path, truth: Path) -> AnnotatedSequence:
    if not (folder / "img").is_dir():
        raise SequenceError(f"{folder}: has no folder img/ with its frames; add it")
    files = image_files(folder / "img")
    bounds = find_file((folder,), f"{folder.name}_frames.txt")
    if bounds is not None:
        rows = read_boxes(bounds, columns=(2,))
        if len(rows) != 1 or np.isnan(rows).any():
            raise SequenceError(
                f"{bounds}: has {len(rows)} rows; must have 1, with the numbers of the first and last frame; correct it"
            )
        files = frames_between(files, int(rows[0, 0]), int(rows[0, 1]))
    return open_images(folder, mark_absent(read_boxes(truth) - (1, 1, 0, 0)), files)
