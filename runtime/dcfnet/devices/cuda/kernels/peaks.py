"""Reads response maps on the device: one kernel, and a copy of a few numbers per target. Sums are float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.kernels.constants import NUMBERS_PER_TARGET, READER_THREADS
from dcfnet.filter.dcf import Array
from dcfnet.filter.response import PSR_EXCLUDED, Peak, scale_weights

STATISTICS_BYTES = 32  # size of the structure Statistics of peaks.cu


class PeakReader:
    """`read_maps` of `filter.response` on a device."""

    def __init__(self, device: Any) -> None:
        """device: a CudaDevice."""
        self._device = device
        self._weights: dict[tuple[int, float], Array] = {}

    def __call__(self, maps: Array, position_maps: Array, first_maps: Array, penalty: float) -> Array:
        """Maps float32 (N, S, R, R) -> float64 (N, NUMBERS_PER_TARGET) on the device, queued; see `unpack_peaks`."""
        targets, scales, side, _ = maps.shape
        peaks = self._device.empty((targets, NUMBERS_PER_TARGET), np.float64)
        arrays = (maps, position_maps, first_maps, self._scale_weights(scales, penalty), peaks)
        sizes = map(np.int32, (scales, side, PSR_EXCLUDED))
        shared_bytes = READER_THREADS * STATISTICS_BYTES
        self._device.launch_blocks("read_peaks", targets, READER_THREADS, shared_bytes, *arrays, *sizes)
        return peaks

    def _scale_weights(self, scales: int, penalty: float) -> Array:
        if (scales, penalty) not in self._weights:
            self._weights[scales, penalty] = self._device.constant(scale_weights(scales, penalty))
        return self._weights[scales, penalty]


def unpack_peaks(peaks: NDArray[np.float64]) -> tuple[NDArray[np.intp], Peak]:
    """Host numbers float64 (N, NUMBERS_PER_TARGET) -> winning scale (N,), and peaks."""
    return peaks[:, 0].astype(np.intp), Peak(peaks[:, 1:3], peaks[:, 3], peaks[:, 4], peaks[:, 5], peaks[:, 6])
