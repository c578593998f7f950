"""GOT-10k: train/, val/ and test/ with `list.txt` and one folder of images per sequence (Huang et al., TPAMI 2019).

Boxes in `groundtruth.txt` are 1-based (the authors, in issue 6 of got-10k/toolkit). Frames with an `absence.label` of 1
or a `cover.label` of 0 are not scored, as in the toolkit. The test subset contains only the first box.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, read_flags, read_names, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, open_images, read_boxes

SUBSETS = ("train", "val", "test")


def find(root: Path, subset: str | None) -> Listing:
    """Lists one subset of the dataset in `root`; without `subset`, `root` is the folder of a subset.

    Raises SequenceError if `root` contains subsets and `subset` is None.
    """
    place = root / (subset or "")
    folders = {folder.name: folder for folder in subfolders(place) if (folder / "groundtruth.txt").is_file()}
    present = [name for name in SUBSETS if (root / name).is_dir()]
    if subset is None and present and not folders:
        raise SequenceError(f"{root}: contains several subsets; choose one of its subsets: {', '.join(present)}")
    listing = Listing({name: partial(_open, folder) for name, folder in folders.items()})
    names = place / "list.txt"
    return listing.select(read_names(names)) if names.is_file() else listing


def _open(folder: Path) -> AnnotatedSequence:
    files = image_files(folder)
    boxes = read_boxes(folder / "groundtruth.txt") - (1, 1, 0, 0)
    if len(boxes) == 1:  # the evaluation server does not publish the later boxes
        unknown = np.full((max(len(files) - 1, 0), 4), np.nan)
        return open_images(folder, np.concatenate([mark_absent(boxes), unknown]), files)
    absent = read_flags(folder / "absence.label", len(boxes)) == 1
    if (folder / "cover.label").is_file():
        absent |= read_flags(folder / "cover.label", len(boxes)) == 0
    return open_images(folder, mark_absent(boxes, absent), files)
