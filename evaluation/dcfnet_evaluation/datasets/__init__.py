"""Data sets on disk, by their layout: sequences with 0-based boxes, whatever the files hold.

open_dataset("otb", Path("OTB"), subset="otb2013") reads folders and boxes; images are read one by one as they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcfnet_evaluation.datasets import got10k, ilsvrc_vid, lasot, nus_pro, otb, plain, tc128, uav123, vot
from dcfnet_evaluation.datasets.listing import Listing
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError


@dataclass(frozen=True)
class Layout:
    """A way in which data sets lie on disk.

    summary: what it is and which files it needs, in a line. find: the sequences under a root, of one of `subsets` or
    of None; raises SequenceError.
    """

    name: str
    summary: str
    find: Callable[[Path, str | None], Listing]
    subsets: tuple[str, ...] = ()
    one_based: bool = True  # its files, and others' result files for it, count pixels from 1


class Dataset(list[AnnotatedSequence]):
    """The opened sequences.

    missing: names of the subset, or of the data set's own list, that are not on disk. note: how many of how many are
    there, such as "11 of 100 sequences of otb2015 are here"; empty where none is missing.
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
            "plain",
            "your own: images or a video, with boxes.csv, boxes.txt or groundtruth.txt",
            plain.find,
            one_based=False,
        ),
    )
}


def open_dataset(layout: str, root: Path, names: Sequence[str] | None = None, subset: str | None = None) -> Dataset:
    """Sequences under `root` in one of LAYOUTS: all, or those of a subset, or those named, in any case of letters.

    Raises SequenceError for an unknown layout, subset or name, where there is no sequence, and where the files of one
    do not fit together.
    """
    if layout not in LAYOUTS:
        raise SequenceError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    listing = LAYOUTS[layout].find(root, _known_subset(LAYOUTS[layout], subset))
    of = f"of {subset} " if subset else ""
    if not listing.found:
        reason = LAYOUTS[layout].summary if root.exists() else "there is no such folder"
        raise SequenceError(f"{root}: no sequences {of}in the layout {layout} ({reason})")
    total = len(listing.found) + len(listing.missing)
    note = f"{len(listing.found)} of {total} sequences {of}are here" if listing.missing else ""
    chosen = listing if names is None else listing.among(names)
    if names is not None and chosen.missing:
        raise SequenceError(f"{root}: no sequence {', '.join(chosen.missing)}; there are {', '.join(listing.found)}")
    return Dataset((open_() for open_ in chosen.found.values()), listing.missing, note)


def _known_subset(layout: Layout, subset: str | None) -> str | None:
    """The subset in small letters. Raises SequenceError for one that the layout does not have."""
    if subset is None or subset.casefold() in layout.subsets:
        return subset and subset.casefold()
    known = f"there are {', '.join(layout.subsets)}" if layout.subsets else "it has none"
    raise SequenceError(f"no subset {subset!r} of {layout.name}; {known}")
