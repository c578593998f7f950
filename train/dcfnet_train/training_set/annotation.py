"""Reads the boxes of a sequence from its annotation: rows of numbers, masks, or motion labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding.images import decode_mask
from dcfnet.result import Box
from dcfnet_evaluation.sequences import Boxes, SequenceError, box_around, mark_absent, read_numbers
from numpy.typing import NDArray

from dcfnet_train.training_set.manifest import MASKS, Entry

MOVING = 255  # CDnet's label of moving objects; 0, 50, 85, 170: background, shadow, outside, unknown
SAME = 0.5  # smallest IoU of a target's boxes in two consecutive frames; after a merge or a split, the IoU is lower
Mask = NDArray[np.bool_]
Read = Callable[[str], bytes]  # path in the repository -> content


def read_track(entry: Entry, read: Read) -> Boxes:
    """Boxes of a sequence, float64 (N, 4): x, y, w, h, 0-based px, one row per frame, NaN without a target.

    read: returns the content of a path in the repository. Raises SourceError that names the wrong file or line.
    """
    if entry.format not in MASKS:
        boxes = _rows(entry, read(entry.boxes))
    else:
        masks = (decode_mask(read(path), path) for path in entry.box_paths())
        if entry.format == "mask":
            boxes = [_extent(_opened(mask > 127, entry.thin)) for mask in masks]
        else:
            boxes = list(_followed(entry, masks))
    return mark_absent(np.array(boxes, dtype=np.float64).reshape(-1, 4))


def _rows(entry: Entry, content: bytes) -> list[list[float]]:
    lines = content.decode("utf-8-sig", "replace").rstrip().splitlines()
    start, count = entry.row - 1, entry.last - entry.first + 1
    if len(lines) < start + count:
        raise SourceError(f"{entry.boxes}: {len(lines)} rows; rows {entry.row} to {start + count} are needed")
    rows = enumerate(lines[start : start + count], start=entry.row)
    try:
        return [_box(entry, number, line.strip()) for number, line in rows]
    except SequenceError as error:
        raise SourceError(str(error)) from error


def _box(entry: Entry, number: int, line: str) -> list[float]:
    """Box x, y, w, h of one row, 0-based px; NaN if one number of the row is NaN."""
    row = read_numbers(Path(entry.boxes), number, line)
    corners = entry.format == "corners"
    if len(row) != (8 if corners else 4):
        raise SourceError(f"{entry.boxes}:{number}: {line!r} is {len(row)} numbers, not {8 if corners else 4}")
    if np.isnan(row).any():
        return [np.nan] * 4
    if corners:
        return box_around(row)
    base = 1 if entry.format == "xywh1" else 0
    return [row[0] - base, row[1] - base, row[2], row[3]]


def _opened(mask: Mask, thin: int) -> Mask:
    """The mask, bool (H, W), without parts thinner than `thin` px (morphological opening)."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((thin, thin), np.uint8)) > 0


def _extent(mask: Mask) -> list[float]:
    """Box x, y, w, h around the True pixels of a mask, bool (H, W), 0-based px; NaN if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [np.nan] * 4
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _followed(entry: Entry, masks: Iterator[NDArray[np.uint8]]) -> Iterator[list[float]]:
    """Boxes x, y, w, h, 0-based px, of one moving object.

    The first box surrounds the connected component at the point `at` of the entry. Each later box surrounds the
    component whose IoU with the previous box is highest. Raises SourceError that names the frame where this IoU is
    below SAME.
    """
    last: Sequence[float] = ()
    for number, labels in enumerate(masks, start=entry.first):
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == MOVING).astype(np.uint8))
        x, y = entry.at
        if last:
            index = max(range(1, len(stats)), key=lambda i: Box(*last).iou(Box(*stats[i, :4])), default=0)
        else:
            index = int(pieces[y, x]) if y < pieces.shape[0] and x < pieces.shape[1] else 0
        box = [float(value) for value in stats[index, :4]]
        if not index or (last and Box(*last).iou(Box(*box)) < SAME):
            raise SourceError(
                f"{entry.name}: no moving component at {last or entry.at} in frame {number} "
                f"with an IoU of at least {SAME}; correct the keys `at`, `first` or `last` of the manifest"
            )
        last = box
        yield box
