"""Valid frames: uint8, height x width x channels, BGR as in OpenCV. BGRA and grey are accepted too."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import FrameTypeError, InvalidFrameError

Array: TypeAlias = Any  # a host array or a device array
Frame: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR, (H, W, 4) BGRA, (H, W, 1) or (H, W) grey

UINT8 = np.dtype(np.uint8)
HOST_KINDS = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost
TEXT = (str, bytes, bytearray, PathLike)
CONTAINERS = (list, tuple, set, frozenset, Mapping)
NUMBERS = (int, float, complex)  # also bool
RULE = "a frame is a uint8 array (height, width, 3) BGR, (height, width, 4) BGRA or (height, width) grey"


def check_frame(frame: Any) -> Frame:
    """The frame as a C-contiguous host array, copied only if necessary. Raises InvalidFrameError."""
    array = host_array(frame)
    check_pixels(array)
    return np.ascontiguousarray(array)


def host_array(frame: Any) -> NDArray[Any]:
    """The frame as a NumPy array: a NumPy array itself, or host memory shared by DLPack, for example a torch tensor.

    Raises InvalidFrameError for any other object, and its subclass FrameTypeError as `check_type` does. The message
    says if the object is on a GPU.
    """
    if frame is None:
        raise InvalidFrameError(f"frame is None: {RULE}", empty=True)
    if isinstance(frame, np.ndarray):
        return frame
    device = dlpack_device(frame)
    if device is not None and device[0] in HOST_KINDS:
        try:
            return np.from_dlpack(frame)
        except Exception as error:  # any library can have made the array
            raise InvalidFrameError(f"frame cannot be read: {error}; {RULE}") from error
    check_type(frame)
    on_gpu = device is not None or device_interface(frame) is not None
    hint = "; it is on a GPU: use device='cuda', or copy it to the host" if on_gpu else ""
    raise InvalidFrameError(f"frame is a {type(frame).__name__}: {RULE}{hint}")


def check_type(frame: Any) -> None:
    """Raises FrameTypeError for text, a number, a path or a Python container: they are an error in the program."""
    if isinstance(frame, TEXT):
        raise FrameTypeError(f"frame is a {type(frame).__name__}: {RULE}; read the image first, as with cv2.imread")
    if isinstance(frame, NUMBERS):
        raise FrameTypeError(f"frame is a {type(frame).__name__}: {RULE}")
    if isinstance(frame, CONTAINERS):
        raise FrameTypeError(
            f"frame is a {type(frame).__name__} of {len(frame)}: {RULE}; give one frame. A MultiTracker also accepts "
            "the frames of several cameras, as a mapping {source: frame}"
        )


def check_pixels(frame: Array) -> None:
    """Raises InvalidFrameError if an array, on the host or on a device, has a wrong dtype or shape or is empty."""
    if 0 in frame.shape:
        raise InvalidFrameError(f"frame is an empty array of shape {frame.shape}: {RULE}", empty=True)
    if frame.dtype != UINT8:
        raise InvalidFrameError(f"frame has dtype {frame.dtype}: {RULE}")
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
        hint = "; channels must be the last axis" if frame.ndim == 3 and frame.shape[0] in (1, 3, 4) else ""
        raise InvalidFrameError(f"frame has shape {frame.shape}: {RULE}{hint}")


def device_interface(frame: Any) -> dict[str, Any] | None:
    """The `__cuda_array_interface__` of the frame; None if it has none."""
    try:
        interface = frame.__cuda_array_interface__
    except Exception:  # any library can have made the array; torch raises for tensors with gradients
        return None
    return interface if isinstance(interface, dict) else None


def dlpack_device(frame: Any) -> tuple[int, int] | None:
    """DLPack's device type and device number of the frame; None if the frame does not support DLPack."""
    try:
        kind, number = frame.__dlpack_device__()
        return int(kind), int(number)
    except Exception:  # see device_interface
        return None


def frame_size(frame: Frame) -> tuple[int, int]:
    """(width, height) of a frame."""
    return frame.shape[1], frame.shape[0]
