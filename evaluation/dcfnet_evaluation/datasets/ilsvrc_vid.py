"""ILSVRC's object detection from video: a folder a snippet, a file of boxes a frame (Russakovsky et al., IJCV 2015).

Frames are `Data/VID/SUBSET/.../SNIPPET/000000.JPEG`, counted from 0; their boxes `000000.xml` under `Annotations/VID`
(readme.txt of the devkit, 4.2). Boxes are 0-based corners of which the last pixel is inside: files have xmin 0, and the
devkit's evaluation takes xmax - xmin + 1 for the width (eval_vid_detection.m), as the got10k toolkit does (issue 23).
Every track of a snippet is a sequence, SNIPPET.TRACK as the got10k toolkit names it, from its first box to its last;
frames without it in between have none. Boxes that are marked `occluded` (as good as always in part) or `generated`
(interpolated between drawn ones) are there like the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from dcfnet.frames import image_files

from dcfnet_evaluation.datasets.listing import Listing, files_like, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, Boxes, SequenceError, mark_absent, open_images

SUBSETS = ("train", "val")  # the boxes of test are kept by the challenge
CORNERS = ("xmin", "ymin", "xmax", "ymax")
READERS = 16  # threads: a million small files wait for the disk, not for their parsing


def find(root: Path, subset: str | None) -> Listing:
    """The tracks of one subset of the data set in `root`, or of both; all files of boxes are read, side by side.

    Raises SequenceError naming a file of boxes that cannot be read.
    """
    snippets = [snippet for name in SUBSETS if subset in (None, name) for snippet in _snippets(root, name)]
    with ThreadPoolExecutor(READERS) as readers:
        tracks = list(readers.map(_tracks, snippets))
    return Listing(
        {
            f"{snippet.name}.{track}": partial(_open, f"{snippet.name}.{track}", _images(root, snippet), first, boxes)
            for snippet, found in zip(snippets, tracks, strict=True)
            for track, (first, boxes) in found.items()
        }
    )


def _snippets(root: Path, subset: str) -> list[Path]:
    """Folders of boxes, packed into further folders or not, each once.

    The subset has to be in the name: trackers' instructions put links a, b, c, d to the packages of train beside them,
    and e, which is val.
    """
    outer = subfolders(root / "Annotations/VID" / subset)
    inner = [folder for place in outer for folder in subfolders(place)]
    found = {folder.name: folder for folder in (*inner, *outer) if re.match(rf"ILSVRC\d+_{subset}_\d+$", folder.name)}
    return [found[name] for name in sorted(found)]


def _images(root: Path, snippet: Path) -> Path:
    return root / "Data/VID" / snippet.relative_to(root / "Annotations/VID")


def _tracks(snippet: Path) -> dict[str, tuple[int, Boxes]]:
    """Of every track its first frame and, from there to its last, its boxes; NaN where it is absent."""
    held: dict[str, dict[int, list[float]]] = {}
    for file in files_like(snippet, "[0-9]*.xml"):
        for track, corners in _read(file):
            held.setdefault(track, {})[int(file.stem)] = corners
    return {track: found for track in sorted(held, key=_track_order) if (found := _spread(held[track])) is not None}


def _read(file: Path) -> Iterator[tuple[str, list[float]]]:
    """Track and corners of every object in one frame. Raises SequenceError naming a file that is none of boxes."""
    try:
        for thing in ElementTree.parse(file).iter("object"):
            corners = [float(thing.findtext(f"bndbox/{corner}", "")) for corner in CORNERS]
            yield thing.findtext("trackid", "").strip(), corners
    except OSError as error:
        raise SequenceError(f"{file}: cannot be read ({error.strerror})") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise SequenceError(f"{file}: no file of boxes with xmin, ymin, xmax and ymax ({error})") from error


def _spread(corners: dict[int, list[float]]) -> tuple[int, Boxes] | None:
    """First frame and boxes; None of a track that nowhere has a size."""
    first = min(corners)
    boxes = np.full((max(corners) - first + 1, 4), np.nan)
    for frame, (left, top, right, bottom) in corners.items():
        boxes[frame - first] = left, top, right - left + 1, bottom - top + 1
    boxes = mark_absent(boxes)
    present = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    return (first + int(present[0]), boxes[present[0] : present[-1] + 1]) if len(present) else None


def _track_order(track: str) -> tuple[int, str]:
    return (int(track), "") if track.isdecimal() else (-1, track)


def _open(name: str, images: Path, first: int, boxes: Boxes) -> AnnotatedSequence:
    if not images.is_dir():
        raise SequenceError(f"{images}: no such folder, but there are boxes for its frames")
    wanted = range(first, first + len(boxes))
    files = tuple(file for file in image_files(images) if file.stem.isdecimal() and int(file.stem) in wanted)
    return open_images(images, boxes, files, name=name)
