"""What counts as a frame: uint8, rows x columns x channels, BGR as OpenCV gives it; BGRA and grey are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array, Frame
from dcfnet.errors import InvalidFrameError

FLAT_RANGE = 8  # grey levels: what codecs and sensors add to a frame of one colour
SAMPLES = 32  # pixels looked at along each side of a region
FEW = 6  # of them along each side, which tell nearly always
HOST_KINDS = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost
RULE = "a frame is a uint8 array (height, width, 3) BGR, (height, width, 4) BGRA or (height, width) grey"


def check_frame(frame: Any) -> Frame:
    """The frame of the host, C-contiguous (copied if it was not). Raises InvalidFrameError."""
    array = host_array(frame)
    check_pixels(array)
    return np.ascontiguousarray(array)


def host_array(frame: Any) -> NDArray[Any]:
    """What is given, as an array of NumPy: one already, or memory of the host shared by DLPack, as torch does.

    Raises InvalidFrameError for anything else, and says of what lies on a GPU that it does.
    """
    if frame is None:
        raise InvalidFrameError(f"frame is None: {RULE}", empty=True)
    if isinstance(frame, np.ndarray):
        return frame
    place = dlpack_device(frame)
    if place is not None and place[0] in HOST_KINDS:
        try:
            return np.from_dlpack(frame)
        except Exception as error:  # of whatever made the array
            raise InvalidFrameError(f"frame cannot be read: {error}; {RULE}") from error
    away = place is not None or device_interface(frame) is not None
    hint = "; it lies on a GPU, which device='cuda' takes it from" if away else ""
    raise InvalidFrameError(f"frame is a {type(frame).__name__}: {RULE}{hint}")


def check_pixels(frame: Array) -> None:
    """Raises InvalidFrameError for an array, of the host or of a device, that has no pixels as frames have them."""
    if 0 in frame.shape:
        raise InvalidFrameError(f"frame is an empty array of shape {frame.shape}: {RULE}", empty=True)
    if frame.dtype != np.uint8:
        raise InvalidFrameError(f"frame has dtype {frame.dtype}: {RULE}")
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
        hint = "; channels come last" if frame.ndim == 3 and frame.shape[0] in (1, 3, 4) else ""
        raise InvalidFrameError(f"frame has shape {frame.shape}: {RULE}{hint}")


def device_interface(frame: Any) -> dict[str, Any] | None:
    """The frame's `__cuda_array_interface__`, where it is an array on a GPU and says so."""
    try:
        interface = frame.__cuda_array_interface__
    except Exception:  # of whatever made the array; torch's raises where gradients are kept
        return None
    return interface if isinstance(interface, dict) else None


def dlpack_device(frame: Any) -> tuple[int, int] | None:
    """Kind of memory and number of the device, as DLPack has them, where the frame is an array that is shared so."""
    try:
        kind, number = frame.__dlpack_device__()
        return int(kind), int(number)
    except Exception:  # as above
        return None


def frame_size(frame: Frame) -> tuple[int, int]:
    """(width, height) of a frame."""
    return frame.shape[1], frame.shape[0]


def has_texture(frame: Frame, centre: NDArray[np.float64], region: NDArray[np.float64]) -> bool:
    """Whether any colour of the frame varies by more than FLAT_RANGE levels inside the region; alpha is no colour.

    centre, region: (x, y) and (width, height), frame pixels. Looks at the pixels of `sampled`.
    """
    inside = frame[sampled(frame.shape, centre, region)]
    if inside.size == 0:
        return False
    colours = inside[..., :3] if frame.ndim == 3 else inside[..., None]
    return int(np.ptp(colours, axis=(0, 1)).max()) > FLAT_RANGE


def have_texture(frame: Frame, centres: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`has_texture` of M regions of a frame, bool (M,).

    A few of each region's pixels, of all regions at once, tell of nearly all that do; where they do not all are asked.
    """
    low, high, step = grid_of(frame.shape, centres, regions)
    last = (high - low - 1) // step  # place of the last pixel among those that are looked at, (M, 2)
    seen = np.zeros(len(centres), dtype=np.bool_)
    rows = np.flatnonzero((last >= 0).all(axis=1))
    few = low[rows, None] + np.arange(FEW)[:, None] * last[rows, None] // (FEW - 1) * step[rows, None]  # (M, FEW, 2)
    looked = frame[few[:, :, None, 1], few[:, None, :, 0]]  # (M, FEW, FEW) or (M, FEW, FEW, C)
    looked = looked[..., :3] if frame.ndim == 3 else looked[..., None]
    contrast = looked.max(axis=(1, 2)).astype(int) - looked.min(axis=(1, 2))  # (M, colours)
    seen[rows] = (contrast > FLAT_RANGE).any(axis=1)
    for row in rows[~seen[rows]]:
        seen[row] = has_texture(frame, centres[row], regions[row])
    return seen


def sampled(shape: Sequence[int], centre: NDArray[np.float64], region: NDArray[np.float64]) -> tuple[slice, slice]:
    """Rows and columns that are looked at of a frame of this shape: SAMPLES or somewhat more of the region's each."""
    low, high, step = grid_of(shape, centre, region)
    return slice(low[1], high[1], step[1]), slice(low[0], high[0], step[0])


def grid_of(
    shape: Sequence[int], centre: NDArray[np.float64], region: NDArray[np.float64]
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.int_]]:
    """First pixel, the one behind the last, and the step between them, (x, y) each, (..., 2) as the regions are."""
    low = np.maximum(np.floor(centre - region / 2), 0).astype(int)
    high = np.maximum(np.ceil(centre + region / 2).astype(int) + 1, low + 1)
    high = np.minimum(high, (shape[1], shape[0]))
    return low, high, np.maximum((high - low) // SAMPLES, 1)
