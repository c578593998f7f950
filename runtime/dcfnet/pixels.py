"""What counts as a frame: uint8, rows x columns x channels, BGR as OpenCV gives it; BGRA and grey are accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Frame
from dcfnet.errors import InvalidFrameError
from dcfnet.result import Reason

FLAT_RANGE = 8  # grey levels: what codecs and sensors add to a frame of one colour
SAMPLES = 32  # pixels looked at along each side of a region


def frame_problem(frame: Any) -> tuple[Reason, str] | None:
    """Why the object is no frame, or None if it is one."""
    rule = "a frame is a uint8 array (height, width, 3) BGR, (height, width, 4) BGRA or (height, width) grey"
    if frame is None or (isinstance(frame, np.ndarray) and frame.size == 0):
        shown = "None" if frame is None else f"an empty array of shape {frame.shape}"
        return Reason.NO_FRAME, f"frame is {shown}: {rule}"
    if not isinstance(frame, np.ndarray):
        return Reason.BAD_FRAME, f"frame is a {type(frame).__name__}: {rule}"
    if frame.dtype != np.uint8:
        return Reason.BAD_FRAME, f"frame has dtype {frame.dtype}: {rule}"
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
        hint = "; channels come last" if frame.ndim == 3 and frame.shape[0] in (1, 3, 4) else ""
        return Reason.BAD_FRAME, f"frame has shape {frame.shape}: {rule}{hint}"
    return None


def check_frame(frame: Any) -> Frame:
    """The frame, C-contiguous (copied if it was not). Raises InvalidFrameError."""
    problem = frame_problem(frame)
    if problem:
        raise InvalidFrameError(problem[1])
    return np.ascontiguousarray(frame)


def frame_size(frame: Frame) -> tuple[int, int]:
    """(width, height) of a frame."""
    return frame.shape[1], frame.shape[0]


def has_texture(frame: Frame, centre: NDArray[np.float64], region: NDArray[np.float64]) -> bool:
    """Whether any colour of the frame varies by more than FLAT_RANGE levels inside the region; alpha is no colour.

    centre, region: (x, y) and (width, height), frame pixels. Looks at SAMPLES x SAMPLES pixels at most.
    """
    low = np.maximum(np.floor(centre - region / 2), 0).astype(int)
    high = np.maximum(np.ceil(centre + region / 2).astype(int) + 1, low + 1)
    inside = frame[low[1] : high[1], low[0] : high[0]]
    if inside.size == 0:
        return False
    step_y, step_x = (max(side // SAMPLES, 1) for side in inside.shape[:2])
    sampled = inside[::step_y, ::step_x]
    colours = sampled[..., :3] if frame.ndim == 3 else sampled[..., None]
    return int(np.ptp(colours, axis=(0, 1)).max()) > FLAT_RANGE
