"""The texture check of the CUDA backend: in a kernel for frames from the GPU, on the host for host frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.devices.cuda.sampling import GRID, Structures, texture_grids
from dcfnet.devices.cuda.uploads import StagingBuffer, upload_rows
from dcfnet.io.texture import FLAT_RANGE, Texture, mean_levels, texture_of

NO_LEVELS = np.array([[255] * 3, [0] * 3, [0] * 3], np.int32)  # lowest, highest level and sum of an empty grid


class TextureReader:
    """`Backend.check_texture` on a device. A result is valid until the next check."""

    def __init__(self, device: Any) -> None:
        """device: a `CudaDevice`."""
        self._device = device
        self._staging = [StagingBuffer(device), StagingBuffer(device)]
        self._pinned = np.empty(0, np.uint8)

    def __call__(
        self, frames: Mapping[int, CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
    ) -> Callable[[], Texture]:
        result = Texture(np.zeros(len(sources), dtype=np.bool_), np.zeros(len(sources)))
        on_device, colours, black = np.zeros(len(sources), dtype=np.bool_), *np.zeros((2, len(sources)), dtype=int)
        for index in set(sources.tolist()):
            rows, frame = sources == index, frames[index]
            if frame.texture_plane is None:
                on_device |= rows
                colours[rows], black[rows] = min(frame.channels, 3), frame.colours.black
            else:
                found = texture_of(frame.texture_plane, centres[rows], regions[rows], frame.colours.black)
                result.textured[rows], result.levels[rows] = found
        if not on_device.any():
            return lambda: result
        levels = self._levels(texture_grids(frames, sources[on_device], centres[on_device], regions[on_device]))

        def answer() -> Texture:
            self._device.wait()
            low, high, sums = np.moveaxis(levels, 1, 0)
            result.textured[on_device] = (high - low).max(axis=1) > FLAT_RANGE
            result.levels[on_device] = mean_levels(sums.sum(axis=1), colours[on_device], black[on_device])
            return result

        return answer

    def _levels(self, grids: Structures) -> NDArray[np.int32]:
        """Lowest level, highest level and sum (N, 3, 3) of each colour over each grid; valid after a wait."""
        count, side = len(grids), int(max(grids["columns"].max(), grids["rows"].max()))
        initial = np.tile(NO_LEVELS, (count, 1, 1)).view(np.uint8).reshape(-1)
        parameters = np.concatenate([grids.view(np.uint8), initial])
        memory, start = self._device.empty((len(parameters),), np.uint8), count * GRID.itemsize
        upload_rows(self._device, self._staging, parameters[None], self._device.address(memory), len(parameters))
        levels = memory[start:].view(np.int32)
        sizes = (np.int32(count), np.int32(side))
        self._device.launch("extremes", max(count * side**2, 1), memory[:start], levels, *sizes)
        if len(self._pinned) < len(initial):
            self._pinned = self._device.pinned(2 * len(initial))
        on_host = self._pinned[: len(initial)].view(np.int32).reshape(count, *NO_LEVELS.shape)
        self._device.fetch(levels, on_host)
        return on_host
