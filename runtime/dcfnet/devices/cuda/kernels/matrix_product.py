"""Matrix products with kernels of this project.

cuBLAS is not an option: CuPy does not call it while a graph is captured (cupy#6290). One of the two matrices is small
and the same for the whole stack, so it stays in the caches, and a faster product would gain little.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dcfnet.devices.cuda.kernels.constants import COLUMNS_PER_THREAD, ROWS_PER_THREAD
from dcfnet.filter.dcf import Array


def matrix_product(device: Any, left: Array, right: Array) -> Array:
    """`left @ right`, queued on a CudaDevice: (..., n, k) and (..., k, m); one is a stack, the other a single matrix.

    Both float32 or both complex64. Raises ValueError for two stacks, and for shapes or types that do not match.
    """
    if left.dtype != right.dtype or left.shape[-1] != right.shape[-2] or min(left.ndim, right.ndim) != 2:
        raise ValueError(
            f"cannot multiply {left.dtype} {left.shape} by {right.dtype} {right.shape}: types and inner sizes must be "
            "equal, and one factor must be a single matrix"
        )
    (rows, inner), columns = left.shape[-2:], right.shape[-1]
    shape = (*left.shape[:-2], *right.shape[:-2], rows, columns)
    if right.ndim == 2:  # a stack times a matrix is one product with more rows
        stack, rows = 1, math.prod(left.shape[:-1])
    else:
        stack = math.prod(right.shape[:-2])
    result = device.empty(shape, right.dtype)
    sizes = map(np.int32, (stack, rows, inner, columns, 0, inner * columns))
    threads = stack * -(-rows // ROWS_PER_THREAD) * -(-columns // COLUMNS_PER_THREAD)
    kernel = "multiply_complex" if right.dtype == np.complex64 else "multiply_real"
    device.launch(kernel, threads, device.contiguous(left), device.contiguous(right), result, *sizes)
    return result
