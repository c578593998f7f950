"""Your own data: a folder of images or a video, and a file of 0-based boxes x, y, w, h, one row per frame.

The boxes are in `boxes.csv`, `boxes.txt` or `groundtruth.txt` in the folder of the images or of the video. If a folder
contains several sequences, they are in NAME.csv or NAME.txt beside the folder or video NAME. A CSV file can have a
header, like the output of `dcfnet-run --boxes`; then the columns x, y, w and h are read. A row with NaN or without a
size means that the target is absent.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding.opencv_decoder import container_count
from dcfnet.io.image_series import image_files, image_series

from dcfnet_evaluation.datasets.listing import Listing, subfolders
from dcfnet_evaluation.sequences import (
    AnnotatedSequence,
    Boxes,
    SequenceError,
    VideoFrames,
    check_first_box,
    count_frames,
    mark_absent,
    open_images,
    read_boxes,
    read_lines,
    read_numbers,
)

TRUTHS = ("boxes.csv", "boxes.txt", "groundtruth.txt")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm")
COLUMNS = ("x", "y", "w", "h")
MIN_SHARE = 0.9  # boxes per frame; annotations may end a little before the video


def find(root: Path, subset: str | None) -> Listing:
    """Lists the sequence `root` (a folder or a video), or the sequences in the folder `root`."""
    if root.is_file():
        pairs = list(_with_box_file(root.parent, [root])) or [
            (root.stem, root, truth) for truth in _truths(root.parent)
        ]
    else:
        pairs = [pair for folder in (root, *subfolders(root)) for pair in _pairs(folder)]
    openers = {name: partial(_open, name, footage, truth) for name, footage, truth in reversed(pairs)}
    return Listing(openers).select([name for name, _, _ in pairs])


def _pairs(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, footage and box file of every sequence in the folder, including the folder itself."""
    if not folder.is_dir():
        return
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    yield from _with_box_file(folder, [*videos, *subfolders(folder)])
    for truth in _truths(folder):
        if image_files(folder):
            yield folder.resolve().name, folder, truth
            return
        footage = videos + [p for p in subfolders(folder) if image_files(p)]
        if len(footage) != 1:
            names = ", ".join(p.name for p in footage) or "no images and no video"
            raise SequenceError(
                f"{truth}: must belong to one sequence, but its folder contains {names}; "
                "put the boxes of the sequence NAME into NAME.csv"
            )
        yield folder.resolve().name, footage[0], truth


def _truths(folder: Path) -> list[Path]:
    """The box file of a folder, in a list; empty if there is none."""
    return [folder / name for name in TRUTHS if (folder / name).is_file()][:1]


def _with_box_file(folder: Path, footage: list[Path]) -> Iterator[tuple[str, Path, Path]]:
    """Sequences with a box file of the same name beside them."""
    for place in footage:
        name = place.name if place.is_dir() else place.stem
        truths = [folder / f"{name}{suffix}" for suffix in (".csv", ".txt")]
        yield from [(name, place, truth) for truth in truths if truth.is_file()][:1]


def _open(name: str, footage: Path, truth: Path) -> AnnotatedSequence:
    boxes = mark_absent(_read(truth))
    if footage.is_dir():
        return open_images(footage, boxes, _images(footage), name=name, numbered=False)
    frame_count = container_count(footage)
    if len(boxes) != frame_count:
        frame_count = count_frames(footage)  # a container's number is no evidence
    if not MIN_SHARE * frame_count <= len(boxes) <= frame_count or not len(boxes):
        raise SequenceError(
            f"{footage}: {frame_count} frames but {len(boxes)} boxes in {truth.name}; every frame needs a row"
        )
    return check_first_box(footage, AnnotatedSequence(name, VideoFrames(footage, len(boxes)), boxes))


def _images(folder: Path) -> tuple[Path, ...]:
    """The one series of images in a folder."""
    try:
        return image_series(folder).files
    except SourceError as error:
        raise SequenceError(str(error)) from error


def _read(file: Path) -> Boxes:
    """Boxes of a file, float64 (N, 4). If there is a header, it selects the columns.

    Raises SequenceError if a line is not a box, or if frame numbers do not increase by 1; the message names the line.
    """
    lines = read_lines(file)
    header = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if not set(COLUMNS) <= set(header):
        return read_boxes(file)
    boxes = []
    for number, cells in enumerate(_cells(file, lines[1:]), start=2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        expected = str(number - 2)
        if row.get("frame", expected) != expected:
            raise SequenceError(f"{file}:{number}: frame {row['frame']}; must be {expected}; add a row for every frame")
        box = read_numbers(file, number, ",".join(row.get(column, "") for column in COLUMNS))
        if len(box) != len(COLUMNS):  # "10;22" in one cell are two numbers
            raise SequenceError(
                f"{file}:{number}: has {len(box)} numbers in {', '.join(COLUMNS)}; must have one in each"
            )
        boxes.append(box)
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _cells(file: Path, lines: list[str]) -> Iterator[list[str]]:
    """The cells of each line. Raises SequenceError for text that is not CSV."""
    try:
        yield from csv.reader(lines)
    except csv.Error as error:
        raise SequenceError(f"{file}: cannot be read as CSV ({error}); correct the file") from error
