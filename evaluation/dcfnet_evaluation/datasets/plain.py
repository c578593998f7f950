"""Footage of one's own: a folder of images or a video, and a file of 0-based boxes x, y, w, h, one row a frame.

The boxes are in `boxes.csv`, `boxes.txt` or `groundtruth.txt` in the folder of the images or of the video; or, where
several lie together, in NAME.csv or NAME.txt beside the folder or video NAME. A csv may have a header, as the one
that `dcfnet-run --boxes` writes; then its columns x, y, w and h are read. NaN, or no size, means: no target here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from dcfnet.frames import image_files

from dcfnet_evaluation.datasets.listing import Listing, subfolders
from dcfnet_evaluation.sequences import (
    AnnotatedSequence,
    Boxes,
    SequenceError,
    VideoFrames,
    checked,
    mark_absent,
    open_images,
    read_boxes,
    read_lines,
    read_numbers,
)

TRUTHS = ("boxes.csv", "boxes.txt", "groundtruth.txt")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm")
COLUMNS = ("x", "y", "w", "h")
COUNTED = 0.9  # containers count a few frames more than there are; not a tenth of them


def find(root: Path, subset: str | None) -> Listing:
    """The sequence that `root` is, a folder or a video, or those in it."""
    if root.is_file():
        pairs = list(_beside(root.parent, [root])) or [(root.stem, root, truth) for truth in _truths(root.parent)]
    else:
        pairs = [pair for folder in (root, *subfolders(root)) for pair in _pairs(folder)]
    found = {name: partial(_open, name, footage, truth) for name, footage, truth in reversed(pairs)}
    return Listing(found).among([name for name, _, _ in pairs])


def _pairs(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, footage and file of boxes of every sequence that the folder is or holds."""
    if not folder.is_dir():
        return
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    yield from _beside(folder, [*videos, *subfolders(folder)])
    for truth in _truths(folder):
        if image_files(folder):
            yield folder.resolve().name, folder, truth
            return
        footage = videos + [p for p in subfolders(folder) if image_files(p)]
        if len(footage) != 1:
            names = ", ".join(p.name for p in footage) or "no images and no video"
            raise SequenceError(
                f"{truth}: beside it lie {names}; where there are several, boxes of NAME are in NAME.csv"
            )
        yield folder.resolve().name, footage[0], truth


def _truths(folder: Path) -> list[Path]:
    """The file of boxes in a folder; none where there is none."""
    return [folder / name for name in TRUTHS if (folder / name).is_file()][:1]


def _beside(folder: Path, footage: list[Path]) -> Iterator[tuple[str, Path, Path]]:
    """Footage with a file of boxes of its own name."""
    for place in footage:
        name = place.name if place.is_dir() else place.stem
        truths = [folder / f"{name}{suffix}" for suffix in (".csv", ".txt")]
        yield from [(name, place, truth) for truth in truths if truth.is_file()][:1]


def _open(name: str, footage: Path, truth: Path) -> AnnotatedSequence:
    boxes = mark_absent(_read(truth))
    if footage.is_dir():
        return open_images(footage, boxes, image_files(footage), name=name, numbered=False)
    counted = _count(footage)
    if not len(boxes) or (counted and not COUNTED * counted <= len(boxes) <= counted):
        raise SequenceError(f"{footage}: {counted} frames but {len(boxes)} boxes in {truth.name}")
    return checked(footage, AnnotatedSequence(name, VideoFrames(footage, len(boxes)), boxes))


def _count(video: Path) -> int:
    """Frames that a video's container counts; 0 where it does not. Raises SequenceError for what is no video."""
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise SequenceError(f"{video}: cannot be opened as a video; is it one, and does OpenCV know its codec?")
    return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def _read(file: Path) -> Boxes:
    """Boxes of a file, float64 (N, 4), by the columns of its header where it has one.

    Raises SequenceError naming a line that is no box, or frames that are not counted one by one.
    """
    lines = read_lines(file)
    header = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if not set(COLUMNS) <= set(header):
        return read_boxes(file)
    boxes = []
    for number, cells in enumerate(csv.reader(lines[1:]), start=2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        due = str(number - 2)
        if row.get("frame", due) != due:
            raise SequenceError(f"{file}:{number}: frame {row['frame']} where {due} is due; every frame has a row")
        boxes.append(read_numbers(file, number, ",".join(row.get(column, "") for column in COLUMNS)))
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
