"""Reads the images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR


def read_image(file: Path) -> Image:
    """The image in a file, uint8 (H, W, 3) BGR. Raises ValueError with the file if it is not a readable image."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file}: not a readable image")
    return image.astype(np.uint8, copy=False)
