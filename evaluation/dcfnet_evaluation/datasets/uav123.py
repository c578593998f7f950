"""UAV123 and UAV20L: `data_seq/UAV123/FOLDER/` and `anno/UAV123/NAME.txt` (Mueller et al., ECCV 2016).

Boxes in the files are 1-based: the benchmark is the MATLAB code of OTB. A NaN row means that the target is hidden or
outside the frame (ReadMe.txt of the dataset). Several sequences can share one folder; configSeqs.m of the dataset
defines the frames of each, and the got-10k toolkit uses the same ranges.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from dcfnet.io.image_series import image_files, natural_order

from dcfnet_evaluation.datasets.listing import Listing, files_like, frames_between, read_attributes
from dcfnet_evaluation.sequences import AnnotatedSequence, mark_absent, open_images, read_boxes

SUBSETS = ("uav123", "uav20l")
# Numbers of the first and last frame of FOLDER_1, FOLDER_2, ...
PARTS = {
    "bird1": ((1, 253), (775, 1477), (1573, 2437)),
    "car1": ((1, 751), (751, 1627), (1627, 2629)),
    "car6": ((1, 487), (487, 1807), (1807, 2953), (2953, 3925), (3925, 4861)),
    "car8": ((1, 1357), (1357, 2575)),
    "car16": ((1, 415), (415, 1993)),
    "group1": ((1, 1333), (1333, 2515), (2515, 3925), (3925, 4873)),
    "group2": ((1, 907), (907, 1771), (1771, 2683)),
    "group3": ((1, 1567), (1567, 2827), (2827, 4369), (4369, 5527)),
    "person2": ((1, 1189), (1189, 2623)),
    "person4": ((1, 1501), (1501, 2743)),
    "person5": ((1, 877), (877, 2101)),
    "person7": ((1, 1249), (1249, 2065)),
    "person8": ((1, 1075), (1075, 1525)),
    "person12": ((1, 601), (601, 1621)),
    "person14": ((1, 847), (847, 1813), (1813, 2923)),
    "person17": ((1, 1501), (1501, 2347)),
    "person19": ((1, 1243), (1243, 2791), (2791, 4357)),
    "truck4": ((1, 577), (577, 1261)),
    "uav1": ((1, 1555), (1555, 2377), (2473, 3469)),
}
# Order of the flags in anno/UAV123/att/NAME.txt (attName in perfPlot.m of the dataset)
ATTRIBUTES = ("SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB")


def find(root: Path, subset: str | None) -> Listing:
    """Lists the sequences with a box file: of UAV123, or of UAV20L, whose sequences are whole folders."""
    annotations = root / "anno" / ("UAV20L" if subset == "uav20l" else "UAV123")
    truths = sorted(files_like(annotations, "*.txt"), key=lambda file: natural_order(file.name))
    places = {truth: _folder(root, truth.stem) for truth in truths}
    openers = {t.stem: partial(_open, t, *place) for t, place in places.items() if place[0].is_dir()}
    return Listing(openers, tuple(t.stem for t in truths if t.stem not in openers))


def _folder(root: Path, name: str) -> tuple[Path, tuple[int, int] | None]:
    """The frame folder of a sequence, and its first and last frame if other sequences share the folder."""
    frames = root / "data_seq/UAV123"
    part = re.fullmatch(r"(\w+)_(\d+)", name)
    if (frames / name).is_dir() or not part or int(part[2]) > len(PARTS.get(part[1], ())):
        return frames / name, None
    return frames / part[1], PARTS[part[1]][int(part[2]) - 1]


def _open(truth: Path, folder: Path, part: tuple[int, int] | None) -> AnnotatedSequence:
    files = image_files(folder)
    if part is not None:
        files = frames_between(files, *part)
    boxes = mark_absent(read_boxes(truth) - (1, 1, 0, 0))
    attributes = read_attributes((truth.parent / "att",), truth.stem, ATTRIBUTES)
    return open_images(folder, boxes, files, attributes, truth.stem)
