"""VOT: `list.txt` and one folder per sequence with `groundtruth.txt` (Kristan et al., TPAMI 2016; the VOT toolkit).

Boxes in the files are 0-based: the toolkit draws a region at 0 into a mask from column 0 (vot/region/raster.py). A row
is one of: x, y, w, h; the corners of a polygon, converted to the box around it; a mask, "m" with the box around it
before its run lengths; one special code, or NaN, if there is no target. Frames are in the folder, in `color/`, or in
the folder that the file `sequence` names.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.io.image_series import image_files

from dcfnet_evaluation.datasets.listing import Listing, files_like, read_flags, read_names, subfolders
from dcfnet_evaluation.sequences import (
    AnnotatedSequence,
    SequenceError,
    box_around,
    mark_absent,
    open_images,
    read_lines,
    read_numbers,
)


def find(root: Path, subset: str | None) -> Listing:
    """Lists the sequences of `list.txt`; without this file, all folders with `groundtruth.txt`."""
    folders = {folder.name: folder for folder in subfolders(root) if (folder / "groundtruth.txt").is_file()}
    listing = Listing({name: partial(_open, folder) for name, folder in folders.items()})
    names = root / "list.txt"
    return listing.select(read_names(names)) if names.is_file() else listing


def _open(folder: Path) -> AnnotatedSequence:
    truth = folder / "groundtruth.txt"
    rows = [_box(truth, number, text) for number, text in enumerate(read_lines(truth), start=1)]
    boxes = mark_absent(np.array(rows, dtype=np.float64).reshape(-1, 4))
    files = image_files(_frame_folder(folder))
    if len(rows) == 1 and len(files) > 1:  # the challenge does not publish the later boxes
        boxes = np.concatenate([boxes, np.full((len(files) - 1, 4), np.nan)])
    return open_images(folder, boxes, files, _attributes(folder))


def _box(file: Path, number: int, text: str) -> list[float]:
    """The box x, y, w, h of one row; NaN if the row has no region."""
    if text.startswith("m"):
        box = read_numbers(file, number, text[1:])[:4]
        if len(box) < 4:
            raise SequenceError(f"{file}:{number}: {text!r:.80}: a mask starts with m and its x,y,w,h; correct the row")
        return box
    row = read_numbers(file, number, text)
    if len(row) == 4:
        return row
    if len(row) == 1 or np.isnan(row).any():
        return [np.nan] * 4
    if len(row) < 6 or len(row) % 2:
        raise SequenceError(f"{file}:{number}: {text!r}: must be x,y,w,h, a polygon or a mask; correct the row")
    return box_around(row)


def _frame_folder(folder: Path) -> Path:
    """The frame folder; that of the colour channel if the file `sequence` names it."""
    settings = folder / "sequence"
    lines = read_lines(settings) if settings.is_file() else []
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    if "channels.color" in pairs:  # for example color/%08d.jpg
        channel = Path(pairs["channels.color"].replace("\\", "/"))
        frame_folder = folder / (channel.parent if channel.suffix else channel)
        if not os.path.isdir(frame_folder):  # also false for a name that is too long or has a null byte
            raise SequenceError(
                f"{frame_folder}: no such folder, but the file {settings.name} names it; add the frames"
            )
        return frame_folder
    return folder / "color" if (folder / "color").is_dir() else folder


def _attributes(folder: Path) -> tuple[str, ...]:
    """Attributes that any frame of the sequence has: the stems of its *.tag and *.label files that contain a 1."""
    files = files_like(folder, "*.tag", "*.label")
    return tuple(file.stem for file in files if read_flags(file, len(read_lines(file))).any())
