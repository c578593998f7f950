"""What a tracker answers about one target in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dcfnet.geometry import Box


class _Word(str, Enum):
    """An enumeration that prints as its word on every version of Python."""

    __str__ = str.__str__


class Status(_Word):
    """Whether the box can be believed."""

    TRACKED = "tracked"  # the target was found; the box is where it is
    UNCERTAIN = "uncertain"  # something like it was found; the box follows, and may be wrong
    LOST = "lost"  # the target was not found; the box waits where it was last, and nothing was learnt


class Reason(_Word):
    """Why the status is what it is."""

    FOUND = "found"  # a clear peak
    LOW_PSR = "low_psr"  # uncertain or lost: no peak stands out enough (config.sure_psr, config.min_psr)
    UNLIKE = "unlike"  # lost: what is seen is far from what the target has been like (config.min_likeness)
    OUT_OF_VIEW = "out_of_view"  # lost: the target's centre has left the frame; the box waits at the border
    NO_TEXTURE = "no_texture"  # lost: the search region is one flat colour (a black frame, a covered lens)
    NO_FRAME = "no_frame"  # lost: the frame was None or empty
    BAD_FRAME = "bad_frame"  # lost: not a uint8 image of 1, 3 or 4 channels, or too small to show the target
    SCALE_LIMIT = "scale_limit"  # tracked: the size ran into a limit (config.min_scale, max_scale, the frame)
    RESOLUTION_CHANGED = "resolution_changed"  # tracked: the frame's size changed, the box was scaled with it


@dataclass(frozen=True)
class Result:
    """One target in one frame.

    box: frame pixels, 0-based floats, always finite; it may reach over the frame's border.
    peak: height of the response's peak, 1 would be the label's own. psr: peak-to-sidelobe ratio. apce: average
    peak-to-correlation energy. All three are 0 where no response was computed.
    """

    box: Box
    peak: float
    psr: float
    apce: float
    status: Status
    reason: Reason
