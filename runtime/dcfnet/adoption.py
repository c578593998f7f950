"""Arrays that lie on a GPU already, taken as frames where they are, once what their producer has queued is done."""

from __future__ import annotations

from typing import Any

from dcfnet.errors import DeviceError, InvalidFrameError
from dcfnet.kernels import CudaFrame
from dcfnet.pixels import check_pixels


def adopted(device: Any, given: Any, interface: dict[str, Any]) -> CudaFrame:
    """Another library's array as a frame. device: the `CudaDevice` that it must lie on.

    Raises InvalidFrameError for what is no frame, or lies on another GPU, and DeviceError.
    """
    try:
        if 0 in interface["shape"]:
            raise InvalidFrameError(f"frame is an empty array of shape {interface['shape']}", empty=True)
        place = device.place_of(interface["data"][0])
        pixels = device.wrapped(given) if place == device.number else None
    except (InvalidFrameError, DeviceError):
        raise
    except Exception as error:  # of whatever made the array
        raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
    if pixels is None:
        raise InvalidFrameError(f"frame lies on GPU {place}, the tracker on GPU {device.number}; copy it there first")
    check_pixels(pixels)
    return CudaFrame(device.packed(pixels))
