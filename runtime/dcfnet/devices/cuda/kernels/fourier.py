"""`filter.fourier_transform` on a device: cuFFT, and kernels for the window and the kept frequencies."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcfnet.devices.cuda.fft_plans import FftPlans
from dcfnet.filter.dcf import Array
from dcfnet.filter.fourier_transform import grid_side


@dataclass(frozen=True)
class CudaFourierTransform:
    """`FourierTransform` on a CudaDevice, queued. side, band, response_side, margin, window: as there."""

    device: Any
    plans: FftPlans
    side: int
    band: int
    response_side: int
    margin: int
    window: Array

    def forward(self, maps: Array, into: Array | None = None) -> Array:
        """See `FourierTransform`."""
        device, side, (count, stack) = self.device, self.side, _stack(maps)
        pitch = side + side % 2
        maps, windowed = device.contiguous(maps), device.empty((count, side, pitch))
        sizes = map(np.int32, (count, side, self.margin, pitch))
        device.launch("window_maps", count * side * pitch, maps, self.window, windowed, *sizes)
        spectra = device.empty((count, side, side // 2 + 1), np.complex64)
        self.plans.forward(windowed, spectra)
        rows, columns = 2 * self.band + 1, self.band + 1
        kept = device.empty((*stack, rows, columns), np.complex64) if into is None else into
        device.launch("keep_band", count * rows * columns, spectra, kept, *map(np.int32, (count, side, self.band)))
        return kept

    def inverse(self, spectra: Array) -> Array:
        """See `FourierTransform`."""
        device, side, (count, stack) = self.device, self.response_side, _stack(spectra)
        grid = grid_side(self.band, side)
        half = grid // 2 + 1
        whole, maps = device.empty((count, grid, half), np.complex64), device.empty((count, grid, grid))
        scalars = (*map(np.int32, (count, grid, self.band)), np.float32(1 / self.side**2))
        device.launch("spread_band", count * grid * half, device.contiguous(spectra), whole, *scalars)
        self.plans.inverse(whole, maps)
        if grid == side:
            return maps.reshape(*stack, side, side)
        thinned = device.empty((*stack, side, side))
        device.launch("thin_maps", count * side**2, maps, thinned, *map(np.int32, (count, grid, side)))
        return thinned

    def for_capture(self) -> CudaFourierTransform:
        """See `FourierTransform`: the same transform with plans of its own."""
        return dataclasses.replace(self, plans=self.device.fft_plans())


def _stack(arrays: Array) -> tuple[int, tuple[int, ...]]:
    """The number of maps or spectra in an array, and the shape of the stack."""
    stack = tuple(arrays.shape[:-2])
    return math.prod(stack), stack
