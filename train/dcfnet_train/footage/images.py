"""Reads the images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.decoding import images
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR


def read_image(file: Path) -> Image:
    """The image in a file, uint8 (H, W, 3) BGR. Raises ValueError with the file if it is not a readable image."""
    try:
        return images.read_image(file)
    except SourceError as error:
        raise ValueError(str(error)) from error
