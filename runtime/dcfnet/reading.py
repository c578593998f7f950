"""Reading response maps where they lie: a kernel, and a copy of a few numbers a target. Sums are float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.response import PSR_EXCLUDED, Peak, scale_weights

READ = 6  # numbers that are read of a target: as in peaks.cu
READERS = 256  # threads that read a target's maps: as in peaks.cu
SUMMARY_BYTES = 32  # of the structure Summary of peaks.cu


class PeakReader:
    """`read_maps` of response.py on a device."""

    def __init__(self, device: Any) -> None:
        """device: a CudaDevice."""
        self._device = device
        self._weights: dict[tuple[int, float], Array] = {}

    def __call__(self, maps: Array, placed: Array, penalty: float) -> Array:
        """Maps float32 (N, S, R, R) -> float64 (N, READ) on the device, queued; `told` says what they are."""
        targets, scales, side, _ = maps.shape
        found = self._device.empty((targets, READ), np.float64)
        given = (maps, placed, self._weighing(scales, penalty), found, *map(np.int32, (scales, side, PSR_EXCLUDED)))
        self._device.launch_blocks("read_peaks", targets, READERS, READERS * SUMMARY_BYTES, *given)
        return found

    def _weighing(self, scales: int, penalty: float) -> Array:
        if (scales, penalty) not in self._weights:
            self._weights[scales, penalty] = self._device.constant(scale_weights(scales, penalty))
        return self._weights[scales, penalty]


def told(found: NDArray[np.float64]) -> tuple[NDArray[np.intp], Peak]:
    """What was read, float64 (N, READ) on the host: winning scale (N,), and peaks."""
    return found[:, 0].astype(np.intp), Peak(found[:, 1:3], found[:, 3], found[:, 4], found[:, 5])
