"""The choice of the backend."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec

from dcfnet.devices.backend import Backend
from dcfnet.devices.cpu import CpuBackend
from dcfnet.errors import ConfigError, DeviceError, MissingDependencyError

DEVICES = ("auto", "cpu", "cuda")


def open_backend(device: str) -> Backend:
    """The backend of `device`: "cpu", "cuda" or "auto". "auto" is the GPU if CuPy and a GPU are usable, else the CPU.

    If CuPy is installed but not usable, "auto" gives one warning per process. If there are several GPUs, the current
    device of CuPy is used; CUDA_VISIBLE_DEVICES selects it.
    Raises ConfigError for another name; for "cuda" also MissingDependencyError and DeviceError, which name what is
    missing.
    """
    if device not in DEVICES:
        hint = "; CUDA_VISIBLE_DEVICES selects the GPU" if str(device).startswith("cuda") else ""
        raise ConfigError(f"device={device!r}: must be one of {', '.join(DEVICES)}{hint}")
    if device == "cpu" or (device == "auto" and find_spec("cupy") is None):
        return CpuBackend()
    try:
        from dcfnet.devices.cuda.backend import CudaBackend

        return CudaBackend()
    except (MissingDependencyError, DeviceError) as error:
        if device == "cuda":
            raise
        _warn(f"device='auto' uses the CPU: {error}")
        return CpuBackend()


@cache
def _warn(message: str) -> None:
    """Warns once per process."""
    warnings.warn(message, RuntimeWarning, stacklevel=5)  # where the Tracker is made
