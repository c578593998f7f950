"""Datasets on disk, by layout. All sequences have 0-based boxes, independent of the convention of the files.

open_dataset("otb", Path("OTB"), subset="otb2013") reads folders and boxes. Images are read one at a time, when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcfnet_evaluation.datasets import got10k, ilsvrc_vid, lasot, nus_pro, otb, plain, tc128, trackingnet, uav123, vot
from dcfnet_evaluation.datasets.listing import Listing
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError


@dataclass(frozen=True)
class Layout:
    """A layout of datasets on disk.

    summary: one line with the dataset and its files. find: lists the sequences under a root, of one of `subsets` or,
    for None, of all; raises SequenceError. one_based: whether its files, and published result files, count pixels from
    1.
    """

    name: str
    summary: str
    find: Callable[[Path, str | None], Listing]
    subsets: tuple[str, ...] = ()
    one_based: bool = True


class Dataset(list[AnnotatedSequence]):
    """A list of the opened sequences.

    missing: names in the subset, or in the dataset's own list, that are not on disk. note: for example "11 of 100
    sequences of otb2015 are on disk"; empty if none is missing.
    """

    def __init__(self, sequences: Iterable[AnnotatedSequence], missing: tuple[str, ...] = (), note: str = "") -> None:
        super().__init__(sequences)
        self.missing, self.note = missing, note


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("otb", "OTB: NAME/img/ and NAME/groundtruth_rect.txt", otb.find, tuple(otb.SUBSETS)),
        Layout("vot", "VOT: list.txt, NAME/*.jpg or NAME/color/, NAME/groundtruth.txt", vot.find, one_based=False),
        Layout(
            "got10k", "GOT-10k: val/list.txt, val/NAME/*.jpg, val/NAME/groundtruth.txt", got10k.find, got10k.SUBSETS
        ),
        Layout("uav123", "UAV123: data_seq/UAV123/ and anno/UAV123/NAME.txt", uav123.find, uav123.SUBSETS),
        Layout("tc128", "TempleColor-128: NAME/img/, NAME/NAME_frames.txt, NAME/NAME_gt.txt", tc128.find),
        Layout("nus-pro", "NUS-PRO: NAME/*.jpg and NAME/groundtruth.txt with x1 y1 x2 y2", nus_pro.find),
        Layout(
            "ilsvrc_vid",
            "ILSVRC VID: Data/VID/train/.../NAME/000000.JPEG and Annotations/VID/train/.../NAME/000000.xml",
            ilsvrc_vid.find,
            ilsvrc_vid.SUBSETS,
            one_based=False,
        ),
        Layout("lasot", "LaSOT: CLASS/NAME/img/ and CLASS/NAME/groundtruth.txt", lasot.find, tuple(lasot.SUBSETS)),
        Layout(
            "trackingnet",
            "TrackingNet: TRAIN_0/ or TEST/ with frames/NAME/0.jpg and anno/NAME.txt",
            trackingnet.find,
            trackingnet.SUBSETS,
            one_based=False,
        ),
        Layout(
            "plain",
            "your own data: images or a video, with boxes.csv, boxes.txt or groundtruth.txt",
            plain.find,
            one_based=False,
        ),
    )
}


def open_dataset(layout: str, root: Path, names: Sequence[str] | None = None, subset: str | None = None) -> Dataset:
    """Opens sequences under `root`. layout: a key of LAYOUTS. names: None for all; upper and lower case are equal.

    Raises SequenceError if the layout, the subset or a name is unknown, if there is no sequence, or if the files of a
    sequence do not match.
    """
    if layout not in LAYOUTS:
        raise SequenceError(f"no layout {layout!r}; choose from {', '.join(LAYOUTS)}")
    listing = LAYOUTS[layout].find(root, _check_subset(LAYOUTS[layout], subset))
    of_subset = f"of {subset} " if subset else ""
    if not listing.openers:
        reason = f"expected {LAYOUTS[layout].summary}" if root.exists() else "no such folder"
        raise SequenceError(f"{root}: no sequences {of_subset}in the layout {layout}; {reason}")
    total = len(listing.openers) + len(listing.missing)
    note = f"{len(listing.openers)} of {total} sequences {of_subset}are on disk" if listing.missing else ""
    chosen = listing if names is None else listing.select(names)
    if names is not None and chosen.missing:
        available = ", ".join(listing.openers)
        raise SequenceError(f"{root}: no sequence {', '.join(chosen.missing)}; choose from {available}")
    return Dataset((open_sequence() for open_sequence in chosen.openers.values()), listing.missing, note)


def _check_subset(layout: Layout, subset: str | None) -> str | None:
    """The subset in lower case. Raises SequenceError if the layout has no such subset."""
    if subset is None or subset.casefold() in layout.subsets:
        return subset and subset.casefold()
    remedy = f"choose from {', '.join(layout.subsets)}" if layout.subsets else "this layout has none; leave it out"
    raise SequenceError(f"no subset {subset!r} of {layout.name}; {remedy}")
