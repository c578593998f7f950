"""Reads the images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding import images
from dcfnet_evaluation.sequences import SequenceError
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR


def photographs(folder: Path | None) -> list[Path]:
    """The images in a folder and its subfolders: first *.jpg, then *.png, then the others, by path. None: no images.

    Raises SequenceError if there is no image.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        fault = "not a folder" if folder.exists() else "no such folder"
        raise SequenceError(f"--photos {folder}: {fault}; give a folder of photographs")
    files = [file for file in folder.rglob("*") if file.suffix.lower() in images.IMAGE_SUFFIXES]
    found = [file for file in files if file.is_file() and not file.name.startswith(".")]
    if not found:
        raise SequenceError(f"--photos {folder}: has no images; give a folder of photographs, for example *.jpg")
    first = (".jpg", ".png")
    return sorted(found, key=lambda file: ([*first, file.suffix].index(file.suffix), file))


def read_image(file: Path) -> Image:
    """The image in a file, uint8 (H, W, 3) BGR. Raises ValueError with the file if it is not a readable image."""
    try:
        return images.read_image(file)
    except SourceError as error:
        raise ValueError(str(error)) from error
