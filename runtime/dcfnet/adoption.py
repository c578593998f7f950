"""What is given as a frame, as a GPU takes it: of the host on its way, or where it lies on the GPU already."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcfnet.backend import Array
from dcfnet.errors import DeviceError, InvalidFrameError
from dcfnet.formats import Wrapped, host_frame
from dcfnet.kernels import CudaFrame
from dcfnet.pixels import HOST_KINDS, check_pixels, device_interface, dlpack_device
from dcfnet.uploads import Uploads

MANAGED = 13  # DLPack's kDLCUDAManaged: memory that every GPU reads
CUDA = 2  # DLPack's kDLCUDA


def adopted(device: Any, uploads: Uploads, given: Any) -> CudaFrame:
    """The frame. device: the `CudaDevice` that it must lie on, where it is none of the host's.

    Raises InvalidFrameError for what is no frame, or lies on another GPU, and DeviceError.
    """
    if isinstance(given, CudaFrame):
        return given
    arrays = given.given if isinstance(given, Wrapped) else (given,)
    places = [_place(device, array) for array in arrays]
    if all(place is None for place in places):
        return uploads.frame(host_frame(given))
    if None in places:
        raise InvalidFrameError("one plane of the frame lies on the host, the other on a GPU; copy one to the other's")
    here = device.number
    if away := [place for place in places if place != here]:
        raise InvalidFrameError(f"frame lies on GPU {away[0]}, the tracker on GPU {here}; copy it there first")
    taken = [_taken(device, array) for array in arrays]
    if isinstance(given, Wrapped):
        pixels, *chroma = (device.packed(plane) for plane in given.planes(taken))
        return CudaFrame(pixels, None, chroma[0] if chroma else None, given.colours)
    check_pixels(taken[0])
    return CudaFrame(device.packed(taken[0]))


def _place(device: Any, array: Any) -> int | None:
    """Number of the GPU that an array lies on; None for anything else."""
    if isinstance(array, np.ndarray):  # nearly always
        return None
    try:
        if (interface := device_interface(array)) is not None:
            if 0 in interface["shape"]:
                raise InvalidFrameError(f"frame is an empty array of shape {interface['shape']}", empty=True)
            return int(device.place_of(interface["data"][0]))
    except (InvalidFrameError, DeviceError):
        raise
    except Exception as error:  # of whatever made the array
        raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
    kind, number = dlpack_device(array) or (HOST_KINDS[0], 0)
    if kind == MANAGED:
        return int(device.number)
    return number if kind == CUDA else None


def _taken(device: Any, array: Any) -> Array:
    """Another library's array of this GPU, where it is, once what its producer has queued is done."""
    try:
        return device.taken(array)
    except DeviceError:
        raise
    except Exception as error:  # as above
        raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
