"""Whether there is something to see in frames that a GPU takes: judged on the host where they came from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.kernels import CudaFrame, Pairs, Structures, grids
from dcfnet.pixels import FLAT_RANGE, have_texture


def textured(
    device: Any, frames: Sequence[CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
) -> NDArray[np.bool_]:
    """`Backend.textured`. device: a `CudaDevice`."""
    seen = np.zeros(len(sources), dtype=np.bool_)
    away = np.zeros(len(sources), dtype=np.bool_)
    for index in set(sources.tolist()):
        rows, host = sources == index, frames[index].host
        if host is None:
            away |= rows
        else:
            seen[rows] = have_texture(host, centres[rows], regions[rows])
    rows = np.flatnonzero(away)
    if len(rows):  # frames that were never on the host: one kernel, one small copy
        seen[rows] = _contrasts(device, grids(frames, sources[rows], centres[rows], regions[rows])) > FLAT_RANGE
    return seen


def _contrasts(device: Any, asked: Structures) -> NDArray[np.int32]:
    """The widest range of levels of any colour over each grid, int32 (N,)."""
    found = np.zeros((len(asked), 2, 3), dtype=np.int32)
    found[:, 0] = 255  # a colour that there is not stays below any range
    levels, side = device.upload(found), int(max(asked["columns"].max(), asked["rows"].max()))
    if side:
        where, numbers = device.upload(asked.view(np.uint8)), (np.int32(len(asked)), np.int32(side))
        device.launch("extremes", len(asked) * side**2, where, levels, *numbers)
    low, high = np.moveaxis(device.to_host(levels), 1, 0)
    contrasts: NDArray[np.int32] = (high - low).max(axis=1)
    return contrasts
