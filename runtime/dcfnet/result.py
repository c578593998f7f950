"""The result of a tracker for one target in one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A target box: left, top, width, height in frame pixels, 0-based floats, pixel centres at integers.

    It is a tuple of four numbers, so `np.asarray`, `json.dumps` and unpacking work.
    """

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def of(cls, centre: Sequence[float] | NDArray[np.float64], size: Sequence[float] | NDArray[np.float64]) -> Box:
        """The box with this centre (x, y) and size (width, height), frame pixels."""
        (centre_x, centre_y), (w, h) = (float(v) for v in centre), (float(v) for v in size)
        return cls(centre_x - (w - 1) / 2, centre_y - (h - 1) / 2, w, h)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y), frame pixels."""
        return self.x + (self.w - 1) / 2, self.y + (self.h - 1) / 2

    @property
    def size(self) -> tuple[float, float]:
        """(width, height), frame pixels."""
        return self.w, self.h

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom), frame pixels; right and bottom are left + width and top + height."""
        return self.x, self.y, self.x + self.w, self.y + self.h

    def rounded(self) -> tuple[int, int, int, int]:
        """(x, y, w, h) in whole pixels, for drawing: `cv2.rectangle(frame, box.rounded(), colour)`."""
        left, top, right, bottom = (round(value) for value in self.xyxy)
        return left, top, right - left, bottom - top

    def iou(self, other: Sequence[float]) -> float:
        """Intersection over union with another box (x, y, w, h), in [0, 1]; 0 for empty boxes."""
        x, y, w, h = other
        width = min(self.x + self.w, x + w) - max(self.x, x)
        height = min(self.y + self.h, y + h) - max(self.y, y)
        intersection = max(width, 0.0) * max(height, 0.0)
        union = self.w * self.h + w * h - intersection
        return min(intersection / union, 1.0) if union > 0 else 0.0


class _StringEnum(str, Enum):
    """An enumeration whose members print as their values in all versions of Python."""

    __str__ = str.__str__


class Status(_StringEnum):
    """How reliable the box is."""

    TRACKED = "tracked"  # the target was found; the box is its position
    UNCERTAIN = "uncertain"  # something similar was found; the box follows it and can be wrong
    LOST = "lost"  # the target was not found; the box stays (it can move if the reason is occluded or low_confidence)


class Reason(_StringEnum):
    """Why a target has its status."""

    FOUND = "found"  # a clear peak
    LOW_PSR = "low_psr"  # uncertain or lost: the PSR is too low (config.confident_psr, config.min_psr)
    UNLIKE = "unlike"  # lost: PSR x peak is far below the target's typical one (config.min_likeness)
    OCCLUDED = "occluded"  # uncertain, then lost: PSR x peak x likeness is far below typical (config.min_strength)
    LOW_CONFIDENCE = "low_confidence"  # uncertain, then lost: the box is probably wrong (config.min_confidence)
    OUT_OF_VIEW = "out_of_view"  # lost: the centre of the target left the frame; the box stays at the border
    NO_TEXTURE = "no_texture"  # lost: the search region has one flat colour, for example in a black frame
    NO_FRAME = "no_frame"  # lost: the frame was None or empty
    BAD_FRAME = "bad_frame"  # lost: the frame is not uint8 with 1, 3 or 4 channels, or it is too small
    FROZEN_FRAME = "frozen_frame"  # uncertain (lost stays lost): pixels or time are those of the frame before; not used
    OUT_OF_ORDER = "out_of_order"  # uncertain (lost stays lost): the frame is older than the frame before; not used
    REDETECTED = "redetected"  # tracked: found again at another position, so the box jumped there
    SCALE_LIMIT = "scale_limit"  # tracked: the size reached a limit (config.min_scale, config.max_scale, the frame)
    RESOLUTION_CHANGED = "resolution_changed"  # tracked: the frame size changed, and the box was scaled with it
    CORRECTED = "corrected"  # tracked, uncertain (config.min_confidence): the target took a detector box (`correct`)


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one target in one frame.

    box: frame pixels, 0-based floats, always finite. It can extend beyond the border of the frame.
    peak: maximum of the position map; 1 is the peak of the label.
    psr: the lower peak-to-sidelobe ratio of the first and the second search pass. If redetection found the target, it
    is that of redetection. `uncertain` depends on this value, `lost` on the PSR of the pass that gave the box.
    apce: average peak-to-correlation energy.
    likeness: response of the filter of the first frame at the peak; 1 is the peak of the label. The threshold
    `min_likeness` does not use it. All four are 0 if no response was computed.
    confidence: probability in [0, 1] that the overlap of the box with the target exceeds 0.5; 0 if no response was
    computed, None if the model has no fit for it (docs/confidence.md).
    """

    box: Box
    peak: float
    psr: float
    apce: float
    status: Status
    reason: Reason
    likeness: float = 0.0
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, for `json.dumps`: the box as a list [x, y, w, h], status and reason as text."""
        fields = {name: getattr(self, name) for name in Result.__slots__}
        return {**fields, "box": list(self.box), "status": self.status.value, "reason": self.reason.value}


@dataclass(frozen=True)
class Correction:
    """The result of `Tracker.correct`.

    result: the result of the target, or None if it took no box. Its numbers are those of a search pass at the detector
    box, before the filter was updated. taken: index of the box that the target took, or None. left: indices of the
    other boxes.
    """

    result: Result | None
    taken: int | None
    left: tuple[int, ...]


@dataclass(frozen=True)
class Corrections:
    """The result of `MultiTracker.correct`.

    results: {id: result} of the targets that took a box, as in `Correction`.
    taken: {id: index or None} of all targets whose source has boxes, even an empty list. The index is that of the box
    that the target took, in the boxes of its source.
    left: {source: indices of the boxes that no target took}.
    """

    results: Mapping[int, Result]
    taken: Mapping[int, int | None]
    left: Mapping[int, tuple[int, ...]]
