"""Grey levels: images of 16 bits or floats to uint8, by one range for a whole sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import ConfigError
from dcfnet.io.frame import Frame

TAIL = 0.01  # percent of the pixels at each end that may be defect; a sensor has a few dead pixels
MARGIN = 0.1  # of the range, added at each end: later frames can be a little brighter or darker
LEAST_MARGIN = 1e-6  # share of the level of a constant image; a smaller one is lost in the rounding of float32
RULE = "must be first, full or LOW,HIGH, for example 29000,31500"


@dataclass(frozen=True)
class LevelRange:
    """The levels that become 0 and 255; levels beyond them are cut."""

    low: float
    high: float

    @classmethod
    def around(cls, image: NDArray[Any]) -> LevelRange:
        """The range of one image, widened by MARGIN within its type. Values that are not finite do not count."""
        values = image[np.isfinite(image)]
        if not values.size:
            return cls(0.0, 1.0)
        low, high = (float(value) for value in np.percentile(values, (TAIL, 100 - TAIL)))
        margin = (high - low) * MARGIN or max(1.0, abs(high) * LEAST_MARGIN)  # a constant image stays constant
        if np.issubdtype(image.dtype, np.integer):
            all_levels = cls.of_type(image.dtype)
            return cls(max(low - margin, all_levels.low), min(high + margin, all_levels.high))
        return cls(low - margin, high + margin)

    @classmethod
    def of_type(cls, dtype: np.dtype[Any]) -> LevelRange:
        """All levels of an integer type; 0 to 1 for floats."""
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            return cls(float(limits.min), float(limits.max))
        return cls(0.0, 1.0)

    def to_uint8(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """The image as uint8, of the same shape. NaN becomes 0."""
        scale = 255 / (self.high - self.low)
        with np.errstate(over="ignore", invalid="ignore"):  # floats beyond the range of float32 become 0 or 255
            levels = (image.astype(np.float32) - self.low) * scale
        levels = np.nan_to_num(levels, nan=0.0, posinf=255.0, neginf=0.0)
        mapped: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return mapped


class Levels:
    """Converts the images of one sequence to uint8 BGR. All images of the sequence use the range of the first one.

    Images that are uint8 already do not change, unless a range is given.
    """

    def __init__(self, rule: str = "first") -> None:
        """rule: "first", "full" (all levels of the type) or "LOW,HIGH". Raises ConfigError for anything else."""
        self._given = None if rule in ("first", "full") else _parse(rule)
        self._full = rule == "full"
        self._range: LevelRange | None = None
        self.stored = ""  # depth and range of the newest image that was converted

    def to_bgr(self, image: NDArray[Any]) -> Frame:
        """uint8 (H, W, 3) BGR of an image (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA of any real type."""
        if image.dtype != np.uint8 or self._given is not None:
            image = self._to_uint8(image)
        if image.ndim == 2 or image.shape[2] == 1:
            return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
        return np.ascontiguousarray(image[..., :3])

    def _to_uint8(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        if self._given is None and self._full:
            chosen = LevelRange.of_type(image.dtype)
        else:
            chosen = self._given or self._range or LevelRange.around(image)
        self._range = self._range or chosen
        levels = image[np.isfinite(image)]
        seen = f"{levels.min():g} to {levels.max():g}" if levels.size else "none"
        self.stored = f"{image.dtype} pixels, levels {seen}, of which {chosen.low:g} to {chosen.high:g} become 0 to 255"
        return chosen.to_uint8(image)


def _parse(text: str) -> LevelRange:
    try:
        low, high = (float(value) for value in text.split(","))
    except ValueError:
        raise ConfigError(f"--range {text}: {RULE}") from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ConfigError(f"--range {text}: LOW must be below HIGH, and both finite")
    return LevelRange(low, high)
