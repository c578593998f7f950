"""The boxes of a detector, read from a file of MOTChallenge's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from dcfnet.cli.targets.starts import csv_rows
from dcfnet.errors import InvalidBoxError
from dcfnet.result import Box
from dcfnet.tracking.geometry import target_box

RULE = (
    "must be frame,id,x,y,w,h,score as in MOTChallenge's det.txt: finite numbers; the frame and x, y start at 1; the "
    "id is ignored; a line without a score has the score 1"
)


class Detection(NamedTuple):
    """One detector box. box: frame pixels, 0-based. score: of the detector, any range."""

    box: Box
    score: float


Detections = Mapping[int, Sequence[Detection]]  # 0-based frame number -> the detections in it


def read_detections(file: Path, min_score: float) -> Detections:
    """The detections of each frame, without those whose score is below `min_score`.

    Raises SourceError if the file cannot be read, and InvalidBoxError that names the line.
    """
    found: dict[int, list[Detection]] = {}
    for number, cells in enumerate(csv_rows(file), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            frame, _, x, y, w, h = (float(cell) for cell in cells[:6])
            score = float(cells[6]) if len(cells) > 6 else 1.0
            if frame < 1 or frame != int(frame) or not all(map(isfinite, (x, y, w, h, score))):
                raise ValueError
        except (ValueError, OverflowError):
            raise InvalidBoxError(f"{file}: line {number}: {','.join(cells)!r}: {RULE}") from None
        if score >= min_score:
            found.setdefault(int(frame) - 1, []).append(Detection(Box(x - 1, y - 1, w, h), score))
    return found


def usable(detections: Sequence[Detection], frame_size: tuple[int, int]) -> list[Detection]:
    """The detections cut to the frame, without those that no tracker can use (outside the frame, below 3 px)."""
    kept = []
    for box, score in detections:
        try:
            kept.append(Detection(target_box(box, frame_size), score))
        except InvalidBoxError:
            continue
    return kept
