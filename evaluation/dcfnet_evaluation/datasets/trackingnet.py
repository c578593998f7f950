"""TrackingNet: TRAIN_0/ to TRAIN_11/ and TEST/ with frames/NAME/0.jpg and anno/NAME.txt (Mueller et al., ECCV 2018).

The boxes come from relative coordinates (YouTube-BoundingBoxes), so they are 0-based. In TEST only the first box is
published.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, files_like, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, open_images, read_boxes

SUBSETS = ("train", "test")


def find(root: Path, subset: str | None) -> Listing:
    """Lists all sequences under `root`, which is the dataset or one of its parts, or those of one subset."""
    parts = [part for part in (root, *subfolders(root)) if (part / "anno").is_dir()]
    chosen = [part for part in parts if subset is None or part.name.lower().split("_")[0] == subset]
    truths = [truth for part in chosen for truth in files_like(part / "anno", "*.txt")]
    return Listing({truth.stem: partial(_open, truth) for truth in truths})


def _open(truth: Path) -> AnnotatedSequence:
    frames = truth.parents[1] / "frames" / truth.stem
    if not frames.is_dir():
        raise SequenceError(f"{frames}: no such folder; extract the frames of {truth.stem} there")
    files, boxes = image_files(frames), mark_absent(read_boxes(truth))
    if len(boxes) == 1:
        boxes = np.concatenate([boxes, np.full((max(len(files) - 1, 0), 4), np.nan)])
    return open_images(frames, boxes, files)
