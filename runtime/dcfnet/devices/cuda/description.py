"""Properties of a GPU and its driver."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


class GpuDescription:
    """A GPU. cupy: the module, which only device.py imports. number: of the GPU, as CUDA counts."""

    def __init__(self, cupy: Any, number: int) -> None:
        self._cupy, self.number = cupy, number

    @property
    def compute_capability(self) -> str:
        """For example "8.6"."""
        digits = str(self._cupy.cuda.Device().compute_capability)
        return f"{digits[:-1]}.{digits[-1]}"

    def attribute(self, name: str) -> int:
        """An attribute of the GPU: `name` is the part after cudaDevAttr, for example "MultiProcessorCount"."""
        asked = getattr(self._cupy.cuda.runtime, f"cudaDevAttr{name}")
        return int(self._cupy.cuda.runtime.deviceGetAttribute(asked, self.number))

    @property
    def cuda(self) -> str:
        """Version of the CUDA runtime."""
        return _version(self._cupy.cuda.runtime.runtimeGetVersion())

    @property
    def driver(self) -> str:
        """The newest version of CUDA that the driver supports."""
        return _version(self._cupy.cuda.runtime.driverGetVersion())


def driver_versions(cupy: Any) -> str:
    """The CUDA version of the driver and of CuPy, if there is a driver."""
    with suppress(cupy.cuda.runtime.CUDARuntimeError):
        if number := cupy.cuda.runtime.driverGetVersion():
            built_for = _version(cupy.cuda.runtime.runtimeGetVersion())
            return f"; the driver supports CUDA {_version(number)}, CuPy is built for {built_for}"
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
