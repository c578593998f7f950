"""Converts the caller's frames to frames on the GPU: uploads host arrays, and uses GPU arrays in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.devices.cuda.uploads import Uploads
from dcfnet.errors import DeviceError, InvalidFrameError
from dcfnet.filter.dcf import Array
from dcfnet.io.frame import HOST_KINDS, check_pixels, device_interface, dlpack_device
from dcfnet.io.pixel_formats import Nv12, Rgb, host_frame

CUDA_MANAGED = 13  # DLPack's kDLCUDAManaged: memory that every GPU can read
CUDA = 2  # DLPack's kDLCUDA


def device_frame(device: Any, uploads: Uploads, given: Any) -> CudaFrame:
    """The frame on the GPU. device: the `CudaDevice` that arrays must be on, unless they are host arrays.

    Raises InvalidFrameError for anything that is not a frame, or is on another GPU, and DeviceError.
    """
    if isinstance(given, CudaFrame):
        return given
    if (number := device.gpu_of(given)) is not None:  # CuPy's own array
        if number != device.number:
            _check_gpu(device, [number])
        check_pixels(given)
        return CudaFrame(device.with_contiguous_rows(given))
    arrays = given.arrays if isinstance(given, (Rgb, Nv12)) else (given,)
    gpus = [_gpu_of(device, array) for array in arrays]
    if all(gpu is None for gpu in gpus):
        return uploads.frame(host_frame(given))
    if None in gpus:
        raise InvalidFrameError("one plane of the frame is on the host, the other on a GPU; put both on the same side")
    _check_gpu(device, gpus)
    shared = [_shared(device, array) for array in arrays]
    if isinstance(given, (Rgb, Nv12)):
        pixels, *chroma = (device.with_contiguous_rows(plane) for plane in given.planes(shared))
        return CudaFrame(pixels, None, chroma[0] if chroma else None, given.colours)
    check_pixels(shared[0])
    return CudaFrame(device.with_contiguous_rows(shared[0]))


def _check_gpu(device: Any, gpus: Sequence[int | None]) -> None:
    """Raises InvalidFrameError if an array of the frame is not on the GPU of the tracker."""
    for gpu in gpus:
        if gpu != device.number:
            raise InvalidFrameError(
                f"frame is on GPU {gpu}, the tracker on GPU {device.number}; copy the frame to GPU {device.number}"
            )


def _gpu_of(device: Any, array: Any) -> int | None:
    """Number of the GPU that an array is on; None for any other object."""
    if isinstance(array, np.ndarray):  # nearly always
        return None
    try:
        if (interface := device_interface(array)) is not None:
            if 0 in interface["shape"]:
                raise InvalidFrameError(f"frame is an empty array of shape {interface['shape']}", empty=True)
            return int(device.pointer(interface["data"][0]).device)
    except (InvalidFrameError, DeviceError):
        raise
    except Exception as error:  # the array's library may raise any type
        raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
    kind, number = dlpack_device(array) or (HOST_KINDS[0], 0)
    if kind == CUDA_MANAGED:
        return int(device.number)
    return number if kind == CUDA else None


def _shared(device: Any, array: Any) -> Array:
    """An array of another library on this GPU, after the work that its producer queued."""
    try:
        return device.shared(array)
    except DeviceError:
        raise
    except Exception as error:  # the array's library may raise any type
        raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
