"""ILSVRC object detection from video: one folder per snippet, one box file per frame (Russakovsky et al., IJCV 2015).

Frames are `Data/VID/SUBSET/.../SNIPPET/000000.JPEG`, numbered from 0. Their boxes are `000000.xml` under
`Annotations/VID` (readme.txt of the devkit, 4.2). Corners are 0-based and the last pixel is inside the box: files have
xmin 0, and the devkit (eval_vid_detection.m) and the got10k toolkit (issue 23) use the width xmax - xmin + 1.
Every track of a snippet is a sequence from its first to its last box. Frames of the sequence without the track have no
box. Its name is SNIPPET.TRACK, as in the got10k toolkit. Boxes marked `occluded` (almost always in part) or
`generated` (interpolated between drawn boxes) are used like the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, files_like, subfolders
from dcfnet_evaluation.sequences import AnnotatedSequence, Boxes, SequenceError, mark_absent, open_images

SUBSETS = ("train", "val")  # the boxes of test are not published
CORNERS = ("xmin", "ymin", "xmax", "ymax")
READERS = 16  # threads; reading a million small files is limited by the disk


MOST_DIGITS = 18  # of a number of a track; Python refuses to read numbers of more than 4,300 digits


def find(root: Path, subset: str | None) -> Listing:
    """Lists the tracks of one subset in `root`, or of both. Reads all box files, in several threads.

    Raises SequenceError if a box file cannot be read.
    """
    snippets = [snippet for name in SUBSETS if subset in (None, name) for snippet in _snippets(root, name)]
    with ThreadPoolExecutor(READERS) as readers:
        tracks = list(readers.map(_tracks, snippets))
    return Listing(
        {
            f"{snippet.name}.{track}": partial(_open, f"{snippet.name}.{track}", _images(root, snippet), first, boxes)
            for snippet, by_track in zip(snippets, tracks, strict=True)
            for track, (first, boxes) in by_track.items()
        }
    )


def _snippets(root: Path, subset: str) -> list[Path]:
    """The box folders of a subset, directly under it or one level deeper, each once.

    The name must contain the subset: setup instructions of trackers add the links a, b, c, d to packages of train, and
    e to val.
    """
    outer = subfolders(root / "Annotations/VID" / subset)
    inner = [folder for place in outer for folder in subfolders(place)]
    snippets = {
        folder.name: folder for folder in (*inner, *outer) if re.match(rf"ILSVRC\d+_{subset}_\d+$", folder.name)
    }
    return [snippets[name] for name in sorted(snippets)]


def _images(root: Path, snippet: Path) -> Path:
    return root / "Data/VID" / snippet.relative_to(root / "Annotations/VID")


def _tracks(snippet: Path) -> dict[str, tuple[int, Boxes]]:
    """Track -> its first frame, and its boxes from there to its last frame; NaN if it is absent from a frame."""
    corners_by_track: dict[str, dict[int, list[float]]] = {}
    for file in files_like(snippet, "[0-9]*.xml"):
        for track, corners in _read(file):
            corners_by_track.setdefault(track, {})[int(file.stem)] = corners
    return {
        track: track_boxes
        for track in sorted(corners_by_track, key=_track_order)
        if (track_boxes := _fill_boxes(corners_by_track[track])) is not None
    }


def _read(file: Path) -> Iterator[tuple[str, list[float]]]:
    """Track and corners of every object in one frame. Raises SequenceError if the file is not a box file."""
    try:
        for annotation in ElementTree.parse(file).iter("object"):
            corners = [float(annotation.findtext(f"bndbox/{corner}", "")) for corner in CORNERS]
            yield annotation.findtext("trackid", "").strip(), corners
    except OSError as error:
        raise SequenceError(f"{file}: cannot be read ({error.strerror})") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise SequenceError(
            f"{file}: not a box file with xmin, ymin, xmax and ymax ({error}); copy it again"
        ) from error


def _fill_boxes(corners: dict[int, list[float]]) -> tuple[int, Boxes] | None:
    """First frame and boxes of a track; None if no box has a size."""
    first = min(corners)
    boxes = np.full((max(corners) - first + 1, 4), np.nan)
    for frame, (left, top, right, bottom) in corners.items():
        boxes[frame - first] = left, top, right - left + 1, bottom - top + 1
    boxes = mark_absent(boxes)
    present = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    return (first + int(present[0]), boxes[present[0] : present[-1] + 1]) if len(present) else None


def _track_order(track: str) -> tuple[int, str]:
    return (int(track), "") if track.isdecimal() and len(track) <= MOST_DIGITS else (-1, track)


def _open(name: str, images: Path, first: int, boxes: Boxes) -> AnnotatedSequence:
    if not images.is_dir():
        raise SequenceError(f"{images}: no such folder, but Annotations/ has boxes for its frames; add the frames")
    numbers = range(first, first + len(boxes))
    files = tuple(file for file in image_files(images) if file.stem.isdecimal() and int(file.stem) in numbers)
    return open_images(images, boxes, files, name=name)
