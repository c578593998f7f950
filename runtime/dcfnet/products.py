"""Products of matrices on kernels of our own.

Not those of cuBLAS, since CuPy calls none of it while a graph is captured (cupy#6290). One of the two matrices of a
product is the same for the whole stack here, and small: the caches hold it, and there is little to win by more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dcfnet.backend import Array

ROWS_AT_ONCE, COLUMNS_AT_ONCE = 4, 3  # that a thread makes: as in products.cu


def product(device: Any, one: Array, other: Array) -> Array:
    """`one @ other`, queued on a CudaDevice: (..., n, k) and (..., k, m), of which one is a stack, the other a matrix.

    Float32 or complex64, both of them. Raises ValueError for two stacks, and for shapes or types that do not fit.
    """
    if one.dtype != other.dtype or one.shape[-1] != other.shape[-2] or min(one.ndim, other.ndim) != 2:
        raise ValueError(f"no product of {one.dtype} {one.shape} and {other.dtype} {other.shape}")
    (rows, inner), columns = one.shape[-2:], other.shape[-1]
    shape = (*one.shape[:-2], *other.shape[:-2], rows, columns)
    if other.ndim == 2:  # a stack times a matrix is one product of more rows
        stack, rows = 1, math.prod(one.shape[:-1])
    else:
        stack = math.prod(other.shape[:-2])
    whole, made = other.dtype == np.complex64, device.empty(shape, other.dtype)
    numbers = map(np.int32, (stack, rows, inner, columns, 0, inner * columns))
    threads = stack * -(-rows // ROWS_AT_ONCE) * -(-columns // COLUMNS_AT_ONCE)
    given = (device.contiguous(one), device.contiguous(other))
    device.launch("multiply_complex" if whole else "multiply_real", threads, *given, made, *numbers)
    return made
