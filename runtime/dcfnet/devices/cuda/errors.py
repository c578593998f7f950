"""Errors of CUDA and its libraries, as errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dcfnet.errors import DeviceError


@contextmanager
def library_errors(cupy: Any, message: str) -> Iterator[None]:
    """A context in which any error of a missing or failing library raises DeviceError. cupy: the module."""
    try:
        yield
    except Exception as error:
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000  # of the CUDA that this CuPy is built for
        remedy = f"CUDA's libraries come with: pip install 'cupy-cuda{major}x[ctk]'"
        reason = str(error).partition("\n")[0]  # more lines list folders in which CuPy looked for a library
        raise DeviceError(f"{message}: {reason}; {remedy}") from error


class CudaErrors:
    """A context in which errors that CUDA reports through CuPy raise DeviceError. It is cheap to enter."""

    def __init__(self, cupy: Any) -> None:
        self._no_memory = cupy.cuda.memory.OutOfMemoryError
        self._failures = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if isinstance(error, self._no_memory):
            remedy = "track fewer targets, end other programs on the GPU, or use device='cpu'"
            raise DeviceError(f"the GPU has no memory left: {error}; {remedy}") from error
        if isinstance(error, self._failures):
            raise DeviceError(f"the GPU failed: {error}; its data is lost, restart the process") from error
