"""Products along both axes of maps, with kernels of this project: `filter.transform` in one launch per direction.

Two products of `matrix_product` would be two launches, and would write the product of the first two matrices to memory.
They are used where this product does not fit into shared memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcfnet.devices.cuda.kernels.constants import MAX_SHARED, SEPARABLE_THREADS
from dcfnet.devices.cuda.kernels.matrix_product import matrix_product
from dcfnet.filter.dcf import Array
from dcfnet.filter.transform import Transform


@dataclass(frozen=True)
class CudaTransform(Transform):
    """`Transform` on a CudaDevice, queued."""

    device: Any = None

    def forward(self, maps: Array, into: Array | None = None) -> Array:
        """See `Transform`."""
        (rows, side), columns, device = self.rows.shape, self.columns.shape[1] // 2, self.device
        shared_bytes = side * columns * 8
        if shared_bytes > MAX_SHARED:
            return super().forward(maps, into)
        *stack, _, _ = maps.shape
        spectra = device.empty((*stack, rows, columns), np.complex64) if into is None else into
        arrays = (self.rows, device.contiguous(maps), self.columns, spectra)
        sizes = map(np.int32, (side, rows, columns))
        device.launch_blocks("to_spectra", math.prod(stack), SEPARABLE_THREADS, shared_bytes, *arrays, *sizes)
        return spectra

    def inverse(self, spectra: Array) -> Array:
        """See `Transform`."""
        (side, rows), columns, device = self.rows_back.shape, len(self.columns_back) // 2, self.device
        shared_bytes = side * columns * 8
        if shared_bytes > MAX_SHARED:
            return super().inverse(spectra)
        *stack, _, _ = spectra.shape
        maps = device.empty((*stack, side, side))
        arrays = (self.rows_back, device.contiguous(spectra), self.columns_back, maps)
        sizes = map(np.int32, (side, rows, columns))
        device.launch_blocks("to_maps", math.prod(stack), SEPARABLE_THREADS, shared_bytes, *arrays, *sizes)
        return maps


def along_both_axes(device: Any, left: Array, maps: Array, right: Array) -> Array:
    """`Backend.along_both_axes`, queued: float32 (R, H), (N, H, W) and (W, C) -> (N, R, C)."""
    (rows, height), (width, columns) = left.shape, right.shape
    shared_bytes = rows * width * 4
    if shared_bytes > MAX_SHARED:
        return matrix_product(device, matrix_product(device, left, maps), right)
    result = device.empty((len(maps), rows, columns))
    arrays, sizes = (left, device.contiguous(maps), right, result), map(np.int32, (rows, height, width, columns))
    device.launch_blocks("along_both_axes", len(maps), SEPARABLE_THREADS, shared_bytes, *arrays, *sizes)
    return result
