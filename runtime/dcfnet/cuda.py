"""A CUDA device through CuPy. The only importer of cupy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.errors import DeviceError, MissingDependencyError

try:
    import cupy
except Exception as error:  # a CuPy for another CUDA than there is raises what it likes
    raise MissingDependencyError("cupy", "cuda13", str(error)) from error


class CudaDevice:
    """The current GPU: its memory, and the stream that everything goes through."""

    def __init__(self) -> None:
        """Raises DeviceError naming what is missing, driver or GPU."""
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"no GPU can be used: {error}; install NVIDIA's driver, or use device='cpu'") from error
        if not count:
            raise DeviceError("no GPU is there, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'")
        self._stream = cupy.cuda.get_current_stream()

    @property
    def compute_capability(self) -> str:
        """Such as "8.6"."""
        digits = str(cupy.cuda.Device().compute_capability)
        return f"{digits[:-1]}.{digits[-1]}"

    @property
    def cuda(self) -> str:
        """Version of the CUDA runtime."""
        return _version(cupy.cuda.runtime.runtimeGetVersion())

    @property
    def driver(self) -> str:
        """Newest version of CUDA that the driver serves."""
        return _version(cupy.cuda.runtime.driverGetVersion())

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return int(self._stream.ptr)

    def empty(self, shape: tuple[int, ...]) -> Array:
        """New float32 memory, aligned as CUDA aligns."""
        return cupy.empty(shape, dtype=cupy.float32)

    def copy(self, values: Array, to: Array) -> None:
        """Values of the host or of the device into memory of the device, queued on the stream."""
        to[...] = cupy.asarray(values)

    def address(self, array: Array) -> int:
        """Where the array lies on the device."""
        return int(array.data.ptr)

    def joined(self, arrays: list[Array]) -> Array:
        """The arrays one after another along their first axis."""
        return arrays[0] if len(arrays) == 1 else cupy.concatenate(arrays)

    def to_host(self, array: Array) -> NDArray[np.float32]:
        """The array on the host, once everything queued before has been done."""
        values: NDArray[np.float32] = cupy.asnumpy(array, stream=self._stream)
        return values


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
