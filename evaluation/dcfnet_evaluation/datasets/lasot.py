"""LaSOT: CLASS/CLASS-1/img/ and CLASS/CLASS-1/groundtruth.txt (Fan et al., CVPR 2019).

Boxes in the files are 1-based (the authors, in issue 14 of HengLan/LaSOT_Evaluation_Toolkit). The target is absent if
`full_occlusion.txt` or `out_of_view.txt` is 1, or if a row has no size (a few rows of tiger-6 and lion-5). The lists
`training_set.txt` and `testing_set.txt` are part of the toolkit and must be in the root folder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dcfnet.io.image_series import image_files, natural_order

from dcfnet_evaluation.datasets.listing import Listing, read_flags, read_names, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, open_images, read_boxes

SUBSETS = {"train": "training_set.txt", "test": "testing_set.txt"}


def find(root: Path, subset: str | None) -> Listing:
    """Lists all sequences under `root`, with or without class folders, or those of one list.

    Raises SequenceError if the list of the subset does not exist.
    """
    outer = subfolders(root)
    folders = [p for p in (*outer, *(q for p in outer for q in subfolders(p))) if (p / "groundtruth.txt").is_file()]
    folders.sort(key=lambda folder: natural_order(folder.name))
    listing = Listing({folder.name: partial(_open, folder) for folder in folders})
    if subset is None:
        return listing
    names = root / SUBSETS[subset]
    if not names.is_file():
        raise SequenceError(f"{names}: no such file; copy the list of subset {subset} from the LaSOT toolkit")
    return listing.select(read_names(names))


def _open(folder: Path) -> AnnotatedSequence:
    if not (folder / "img").is_dir():
        raise SequenceError(f"{folder}: has no folder img/ with its frames; add it")
    boxes = read_boxes(folder / "groundtruth.txt") - (1, 1, 0, 0)
    hidden = read_flags(folder / "full_occlusion.txt", len(boxes)) == 1
    outside = read_flags(folder / "out_of_view.txt", len(boxes)) == 1
    return open_images(folder, mark_absent(boxes, hidden | outside), image_files(folder / "img"))
