"""The assignment of boxes to targets with the largest total. Only this module of the package imports SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import MissingDependencyError

try:
    from scipy.optimize import linear_sum_assignment
except ImportError as error:
    raise MissingDependencyError("scipy", "detector") from error


def largest_total(affinity: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, min(N, M) pairs, whose sum in `affinity` (N, M) is the largest; no row or column twice."""
    rows, columns = linear_sum_assignment(affinity, maximize=True)
    return rows, columns
