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


@contextmanager
def typed(cupy: Any, *others: type[Exception]) -> Iterator[None]:
    """What CUDA raises through CuPy, and `others`, as DeviceError."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceError(
            f"the GPU has no memory left: {error}; track fewer targets, end what else runs there, or use device='cpu'"
        ) from error
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError, *others) as error:
        raise DeviceError(f"the GPU failed: {error}; what it held is lost, start the process anew") from error
