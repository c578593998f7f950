"""VOT: `list.txt`, and a folder a sequence with `groundtruth.txt` (Kristan et al., TPAMI 2016; the VOT toolkit).

Boxes in the files are 0-based: the toolkit turns a region at 0 into a mask from column 0 on (vot/region/raster.py).
Rows are x, y, w, h; or the corners of a polygon, which becomes the box around them; or a mask, "m" and the box around
it before its run lengths; or one special code, or NaN: no target. Frames lie in the folder, in `color/`, or where a
file `sequence` says.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from dcfnet.frames import image_files

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
    """The sequences of `list.txt`, or without one all folders with `groundtruth.txt`."""
    folders = {folder.name: folder for folder in subfolders(root) if (folder / "groundtruth.txt").is_file()}
    listing = Listing({name: partial(_open, folder) for name, folder in folders.items()})
    names = root / "list.txt"
    return listing.among(read_names(names)) if names.is_file() else listing


def _open(folder: Path) -> AnnotatedSequence:
    truth = folder / "groundtruth.txt"
    rows = [_box(truth, number, text) for number, text in enumerate(read_lines(truth), start=1)]
    boxes = mark_absent(np.array(rows, dtype=np.float64).reshape(-1, 4))
    files = image_files(_frames(folder))
    if len(rows) == 1 and len(files) > 1:  # the later ones are kept by the challenge's server
        boxes = np.concatenate([boxes, np.full((len(files) - 1, 4), np.nan)])
    return open_images(folder, boxes, files, _tags(folder))


def _box(file: Path, number: int, text: str) -> list[float]:
    """The box, x, y, w, h, of one row; NaN where it is no region."""
    if text.startswith("m"):
        return read_numbers(file, number, text[1:])[:4]
    row = read_numbers(file, number, text)
    if len(row) == 4:
        return row
    if len(row) == 1 or np.isnan(row).any():
        return [np.nan] * 4
    if len(row) < 6 or len(row) % 2:
        raise SequenceError(f"{file}:{number}: {text!r} is no x, y, w, h, no corners of a polygon and no mask")
    return box_around(row)


def _frames(folder: Path) -> Path:
    """The folder with the frames: of the colour channel where the file `sequence` names it."""
    settings = folder / "sequence"
    lines = read_lines(settings) if settings.is_file() else []
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    if "channels.color" in pairs:  # such as color/%08d.jpg
        channel = Path(pairs["channels.color"].replace("\\", "/"))
        place = folder / (channel.parent if channel.suffix else channel)
        if not place.is_dir():
            raise SequenceError(f"{place}: no such folder, but {settings.name} says that the frames are there")
        return place
    return folder / "color" if (folder / "color").is_dir() else folder


def _tags(folder: Path) -> tuple[str, ...]:
    """What is tagged in any frame of the sequence: the stems of its *.tag and *.label files with a 1 in them."""
    files = files_like(folder, "*.tag", "*.label")
    return tuple(file.stem for file in files if read_flags(file, len(read_lines(file))).any())
