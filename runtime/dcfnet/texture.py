"""Whether there is something to see in frames that a GPU takes: judged on the host where they came from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.kernels import GRID, CudaFrame, Pairs, Structures, grids
from dcfnet.pixels import FLAT_RANGE, have_texture
from dcfnet.uploads import Staging, send

LEVELS = np.array([[255] * 3, [0] * 3], np.int32)  # lowest and highest of a grid that has none


class TextureReader:
    """`Backend.textured` on a device. What it is asked holds until it is asked again."""

    def __init__(self, device: Any) -> None:
        """device: a `CudaDevice`."""
        self._device = device
        self._turns = [Staging(device), Staging(device)]
        self._found = np.empty(0, np.uint8)  # pinned

    def __call__(
        self, frames: Sequence[CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
    ) -> Callable[[], NDArray[np.bool_]]:
        seen = np.zeros(len(sources), dtype=np.bool_)
        away = np.zeros(len(sources), dtype=np.bool_)
        for index in set(sources.tolist()):
            rows, host = sources == index, frames[index].host
            if host is None:
                away |= rows
            else:
                seen[rows] = have_texture(host, centres[rows], regions[rows])
        if not away.any():
            return lambda: seen
        levels = self._levels(grids(frames, sources[away], centres[away], regions[away]))

        def answer() -> NDArray[np.bool_]:
            self._device.wait()
            low, high = np.moveaxis(levels, 1, 0)
            seen[away] = (high - low).max(axis=1) > FLAT_RANGE
            return seen

        return answer

    def _levels(self, asked: Structures) -> NDArray[np.int32]:
        """Lowest and highest level (N, 2, 3) of each colour over each grid, once the device has been waited for."""
        count, side = len(asked), int(max(asked["columns"].max(), asked["rows"].max()))
        given = np.concatenate([asked.view(np.uint8), np.tile(LEVELS, (count, 1, 1)).view(np.uint8).reshape(-1)])
        held, start = self._device.empty((len(given),), np.uint8), count * GRID.itemsize
        send(self._device, self._turns, given[None], self._device.address(held), len(given))
        levels = held[start:].view(np.int32)
        numbers = (np.int32(count), np.int32(side))
        self._device.launch("extremes", max(count * side**2, 1), held[:start], levels, *numbers)
        if len(self._found) < len(given) - start:
            self._found = self._device.pinned(2 * (len(given) - start))
        found = self._found[: len(given) - start].view(np.int32).reshape(count, 2, 3)
        self._device.fetch(levels, found)
        return found
