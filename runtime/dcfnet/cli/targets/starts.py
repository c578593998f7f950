"""Where the targets of a run start: boxes of the command line, or a file of boxes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dcfnet.errors import InvalidBoxError, SourceError
from dcfnet.io.files import read_limited
from dcfnet.result import Box

COLUMNS = ("id", "x", "y", "w", "h", "frame")  # without a header: in this order; the last one may be left out
RULE = "must be id,x,y,w,h or id,x,y,w,h,frame: a whole number from 1, a box in pixels, a frame number from 0"


class TargetStart(NamedTuple):
    """The start of one target. id: its number in the outputs, from 1. box: frame pixels. frame: 0-based number."""

    id: int
    box: Box
    frame: int = 0


def numbered(boxes: Sequence[Box]) -> tuple[TargetStart, ...]:
    """Targets that start in the first frame, with the ids 1, 2, ..."""
    return tuple(TargetStart(index, box) for index, box in enumerate(boxes, start=1))


def read_starts(file: Path) -> tuple[TargetStart, ...]:
    """The targets in a CSV file: id,x,y,w,h and, if given, the frame in which the target starts (default: the first).

    A header names the columns in any order; other columns, as in a file of `--boxes`, are ignored.
    Raises SourceError if the file cannot be read, and InvalidBoxError that names the line.
    """
    starts: dict[int, TargetStart] = {}
    for place, start in _rows(file):
        if start.id in starts:
            raise InvalidBoxError(f"{place}: the id {start.id} is there twice; give each target its own id and one row")
        starts[start.id] = start
    if not starts:
        raise InvalidBoxError(f"{file}: has no target; each line {RULE}")
    return tuple(starts.values())


def read_text(file: Path) -> str:
    """The text of a file of the user. Raises SourceError."""
    try:
        return read_limited(file).decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise SourceError(f"{file}: is not a text file; give a file of boxes, one per line") from None


def csv_rows(file: Path) -> Iterator[list[str]]:
    """The cells of each line. Raises SourceError as `read_text`, and InvalidBoxError for text that is not CSV."""
    try:
        yield from csv.reader(read_text(file).splitlines())
    except csv.Error as error:
        raise InvalidBoxError(f"{file}: not a file of boxes ({error}); each line {RULE}") from None


def _rows(file: Path) -> Iterator[tuple[str, TargetStart]]:
    """Each row of the file with its place, for messages."""
    names: Sequence[str] | None = None
    for number, cells in enumerate(csv_rows(file), start=1):
        place = f"{file}: line {number}"
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if names is None and not _is_number(cells[0]):
            names = cells
            if missing := [name for name in COLUMNS[:5] if name not in names]:
                raise InvalidBoxError(f"{place}: the header lacks the column {missing[0]}; each line {RULE}")
            continue
        columns = names or COLUMNS[: max(len(cells), 5)]
        values = dict(zip(columns, cells, strict=True)) if len(cells) == len(columns) else {}
        yield place, _start(place, values, cells)


def _start(place: str, values: dict[str, str], cells: Sequence[str]) -> TargetStart:
    try:
        target, frame = int(values["id"]), int(values.get("frame") or 0)
        box = Box(*(float(values[side]) for side in "xywh"))
    except (KeyError, ValueError):
        raise InvalidBoxError(f"{place}: {','.join(cells)!r}: {RULE}") from None
    if target < 1 or frame < 0:
        raise InvalidBoxError(f"{place}: {','.join(cells)!r}: {RULE}")
    return TargetStart(target, box, frame)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
