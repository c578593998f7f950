"""OTB: one folder per sequence with `img/` and `groundtruth_rect.txt` (Wu et al., CVPR 2013 and TPAMI 2015).

Boxes in the files are 1-based: the benchmark is MATLAB code and uses them directly to crop. Separators are commas, tabs
and, in one row of BlurCar1, spaces. Lists, names and frame ranges are those of the benchmark (configSeqs.m of
tracker_benchmark_v1.0, MakeSequenceConfigVer10.m of jwlim/tracker_benchmark). They agree with the got-10k toolkit, the
VOT toolkit and pytracking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, frames_between, read_attributes, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError, mark_absent, open_images, read_boxes


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OTB50 = _names(
    """Basketball Biker Bird1 BlurBody BlurCar2 BlurFace BlurOwl Bolt Box Car1 Car4 CarDark CarScale ClifBar Couple
    Crowds David Deer Diving DragonBaby Dudek Football Freeman4 Girl Human3 Human4 Human6 Human9 Ironman Jump Jumping
    Liquor Matrix MotorRolling Panda RedTeam Shaking Singer2 Skating1 Skating2-1 Skating2-2 Skiing Soccer Surfer
    Sylvester Tiger2 Trellis Walking Walking2 Woman"""
)
OTB100 = OTB50 + _names(
    """Bird2 BlurCar1 BlurCar3 BlurCar4 Board Bolt2 Boy Car2 Car24 Coke Coupon Crossing Dancer Dancer2 David2 David3
    Dog Dog1 Doll FaceOcc1 FaceOcc2 Fish FleetFace Football1 Freeman1 Freeman3 Girl2 Gym Human2 Human5 Human7 Human8
    Jogging-1 Jogging-2 KiteSurf Lemming Man Mhyang MountainBike Rubik Singer1 Skater Skater2 Subway Suv Tiger1 Toy
    Trans Twinnings Vase"""
)
OTB2013 = _names(
    """Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll Dudek FaceOcc1
    FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman Jogging-1 Jogging-2 Jumping
    Lemming Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer1 Singer2 Skating1 Skiing Soccer Subway Suv
    Sylvester Tiger1 Tiger2 Trellis Walking Walking2 Woman"""
)
SUBSETS = {"otb2013": OTB2013, "otb50": OTB50, "otb100": OTB100, "otb2015": OTB100}

# Numbers of the first and last annotated frame of sequences whose archives contain more frames.
ANNOTATED = {
    "BlurCar1": (247, 988),
    "BlurCar3": (3, 359),
    "BlurCar4": (18, 397),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, 354),
}
TIGER1_ROWS = 354  # rows of its box file; the toolkit omits the first 5 frames (initOmit/tiger1.txt)
TIGER1_OMITTED = 5
# Order of the flags in anno/att/NAME.txt (attName in perfPlot.m)
ATTRIBUTES = ("IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR")

_SPELLING = {name.casefold(): name for name in (*(name.split("-")[0] for name in OTB100), *OTB100)}


def find(root: Path, subset: str | None) -> Listing:
    """Lists all targets under `root`, or those of one list of the benchmark.

    A folder with two targets (Jogging, Skating2) gives the sequences NAME-1 and NAME-2, as in the benchmark.
    """
    listing = Listing(
        {
            name: partial(_open, root, folder, truth, name)
            for folder in reversed(subfolders(root))  # of two copies of a target, the folder that sorts first wins
            for name, truth in _targets(folder)
        }
    )
    if subset is None:
        return listing.select(sorted(listing.openers))
    return listing.select(SUBSETS[subset])


def read_otb(
    folder: Path, truth: str = "groundtruth_rect.txt", name: str = "", attributes: tuple[str, ...] = ()
) -> AnnotatedSequence:
    """Reads a sequence in the OTB layout: images in `img/` and 1-based boxes in the file `truth`, converted to 0-based.

    If the archive contains frames without boxes, the frame range of the benchmark removes them. All-zero rows (the last
    of Board and of Twinnings) become NaN. Raises SequenceError if the files do not match.
    """
    images = folder / "img"
    if not images.is_dir():
        raise SequenceError(f"{folder}: has no folder img/ with its frames; add it")
    name = name or _benchmark_name(folder.name)
    files = image_files(images)
    boxes = mark_absent(read_boxes(folder / truth) - (1, 1, 0, 0))
    if name == "Tiger1" and len(boxes) == TIGER1_ROWS:
        boxes = boxes[TIGER1_OMITTED:]
    if name in ANNOTATED and len(files) != len(boxes):  # some copies contain only the annotated frames
        files = frames_between(files, *ANNOTATED[name])
    return open_images(folder, boxes, files, attributes, name)


def _open(root: Path, folder: Path, truth: str, name: str) -> AnnotatedSequence:
    return read_otb(folder, truth, name, read_attributes((root / "att", root / "anno/att"), name, ATTRIBUTES))


def _targets(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and box file of every annotated target in the folder."""
    name = _benchmark_name(folder.name)
    if (folder / "groundtruth_rect.txt").is_file():
        yield name, "groundtruth_rect.txt"
        return
    # the first of Human4's two files is empty
    truths = sorted(file.name for file in folder.glob("groundtruth_rect.[0-9].txt") if file.read_bytes().strip())
    suffix = re.search(r"-(\d)$", name)  # one copy of the folder per target, as in pysot
    if suffix and f"groundtruth_rect.{suffix[1]}.txt" in truths:
        yield name, f"groundtruth_rect.{suffix[1]}.txt"
    elif len(truths) == 1:
        yield name, truths[0]
    else:
        yield from ((f"{name}-{truth.split('.')[1]}", truth) for truth in truths)


def _benchmark_name(name: str) -> str:
    """The name with the upper and lower case of the benchmark; unknown names do not change."""
    return _SPELLING.get(name.casefold(), name)
