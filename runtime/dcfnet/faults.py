"""What CUDA and its libraries raise, as errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dcfnet.errors import DeviceError


@contextmanager
def library(told: str) -> Iterator[None]:
    """What a missing or failing library raises, as DeviceError."""
    try:
        yield
    except Exception as error:
        remedy = "CUDA's libraries come with: pip install 'cupy-cuda13x[ctk]'"
        raise DeviceError(f"{told}: {error}; {remedy}") from error


class Typed:
    """Within, what CUDA raises through CuPy comes out as DeviceError. Costs little to enter."""

    def __init__(self, cupy: Any) -> None:
        self._no_memory = cupy.cuda.memory.OutOfMemoryError
        self._failures = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if isinstance(error, self._no_memory):
            remedy = "track fewer targets, end what else runs there, or use device='cpu'"
            raise DeviceError(f"the GPU has no memory left: {error}; {remedy}") from error
        if isinstance(error, self._failures):
            raise DeviceError(f"the GPU failed: {error}; what it held is lost, start the process anew") from error
