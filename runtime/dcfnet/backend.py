"""The array seam: three functions that a device must give, and the choice of the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import ConfigError

Array: TypeAlias = Any  # an array of the backend: numpy.ndarray on a CPU, cupy.ndarray on a GPU
Frame: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR, (H, W, 4) BGRA, (H, W, 1) or (H, W) grey


class Backend(Protocol):
    """Where arrays live. All of it is float32 and complex64, contiguous, target axis first.

    patches_at_once: how many go through the backbone in one call, more in turns.
    """

    @property
    def patches_at_once(self) -> int: ...

    def asarray(self, values: NDArray[np.generic]) -> Array:
        """Host array, float32 or complex64 -> the same array on the device, contiguous."""

    def crop(
        self,
        frames: Sequence[Frame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        """Square patches around centres: float32 (M, 3, size, size), BGR, mean removed, 0 outside the frame.

        sources: (M,), index into `frames` of the frame each patch comes from.
        centres, regions: (M, 2), (x, y) and (width, height), frame pixels. Pixel j of a patch of S lies at
        centre + (j - (S - 1) / 2) * region / S, sampled bilinearly. mean: float32 (3,), whole numbers, BGR.
        """

    def to_host(self, array: Array) -> NDArray[np.float32]:
        """Array of the device -> host array. The one point of synchronisation of a frame."""


def select(device: str) -> Backend:
    """Backend of `device`: "auto" or "cpu". Raises ConfigError for another name."""
    from dcfnet.cpu import CpuBackend

    if device in ("auto", "cpu"):
        return CpuBackend()
    raise ConfigError(f"no device {device!r}; there are auto, cpu")
