"""A network of two convolutions as one kernel, `features.cu`: its weights on the device, and the choice of tiles.

The intermediate maps never leave the chip. A block computes all intermediate pixels that its tile of features needs, so
pixels at the edges of tiles are computed more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.kernels.constants import GROUP_CHANNELS, LANES, MAX_SHARED, RUN_LENGTH, WARP_OUTPUTS, WARPS
from dcfnet.devices.cuda.kernels.program import Program, features_program, for_pixels
from dcfnet.filter.dcf import Array
from dcfnet.model.layers import Convolution, Normalisation

MAX_OUTPUTS = WARPS * WARP_OUTPUTS  # channels of the features that a block can sum
LARGE, SMALL = 8, 2  # features per thread, in large and in small tiles
FOUR = 16  # bytes of the structure Four of common.cu


@dataclass(frozen=True)
class Tile:
    """The part of a feature map that one block computes. First seven fields: see features.cu. count: tiles per map.

    shared: bytes. work: multiply-adds of a thread for one group of channels. conflict_free: whether eight neighbouring
    features read different banks of shared memory, also across the end of a row.
    """

    pixels: int
    width: int
    height: int
    rows: int
    columns: int
    part: int
    pitch: int
    count: int
    shared: int
    work: int
    conflict_free: bool

    @classmethod
    def of(cls, second: Convolution, channels: int, side: int, width: int, pixels: int) -> Tile:
        """A tile of this width. channels: of the patches. side: of the features. pixels: features per thread."""
        height, kernel = min(pixels * LANES // width, side), second.weight.shape[-1]
        rows, columns = ((n - 1) * second.stride + (kernel - 1) * second.dilation + 1 for n in (height, width))
        part = -(-columns // second.stride)
        pitches = range(second.stride * part, second.stride * part + 8)
        pitch = next((pitch for pitch in pitches if (second.stride * pitch - width) % 8 == 0), pitches[0])
        runs = -(-columns // RUN_LENGTH)
        window = 4 * channels * (rows + 2) * (runs * RUN_LENGTH + 2)
        weights = kernel**2 * (GROUP_CHANNELS * MAX_OUTPUTS * 4 + 4)
        shared = max(rows * pitch * FOUR + weights + window, pixels * LANES * MAX_OUTPUTS * 4)
        rounds = -(-rows * runs // (WARPS * LANES))
        first, then = 9 * channels * RUN_LENGTH * GROUP_CHANNELS, kernel**2 * GROUP_CHANNELS * WARP_OUTPUTS
        count = -(-side // width) * -(-side // height)
        conflict_free = (second.stride * pitch - width) % 8 == 0
        work = rounds * first + pixels * then
        return cls(pixels, width, height, rows, columns, part, pitch, count, shared, work, conflict_free)

    @classmethod
    def best(cls, second: Convolution, channels: int, side: int, pixels: int) -> Tile | None:
        """The tile with the least work for a map; None if no tile fits the shared memory."""
        tiles = (cls.of(second, channels, side, width, pixels) for width in range(1, min(pixels * LANES, side) + 1))
        fitting = (tile for tile in tiles if tile.shared <= MAX_SHARED)
        return min(fitting, key=lambda t: (t.count * t.work, not t.conflict_free, t.shared), default=None)

    def defines(self) -> dict[str, int]:
        """The tile's constants of features.cu."""
        names = ("PIXELS", "TILE_WIDTH", "TILE_HEIGHT", "ROWS", "COLUMNS", "PART", "PITCH")
        values = (self.pixels, self.width, self.height, self.rows, self.columns, self.part, self.pitch)
        return dict(zip(names, values, strict=True))


class FusedConvolutions:
    """Patches to features in one kernel, queued. For networks that `supports` accepts."""

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        """device: a `CudaDevice`."""
        self._device, (self._first, self._second), self._norm = device, convolutions, norm
        laid_out = _laid_out(self._first, self._second, norm)
        self._groups = len(laid_out["first_bias"])
        self._weights = [device.constant(values) for values in laid_out.values()]
        self._min_blocks = 2 * device.attribute("MultiProcessorCount")  # fewer large tiles do not occupy the GPU
        self._compiled = cache(self._program)

    @staticmethod
    def supports(convolutions: Sequence[Convolution]) -> bool:
        """Whether there are two convolutions, the first 3 x 3 without stride and dilation."""
        if len(convolutions) != 2 or len(convolutions[1].bias) > MAX_OUTPUTS:
            return False
        first, second = convolutions
        plain = (first.weight.shape[-1], first.stride, first.dilation) == (3, 1, 1)
        return plain and first.rectified and not second.rectified

    def __call__(self, patches: Array) -> Array | None:
        """float32 or float16 (B, I, S, S) -> float32 (B, O, H, H), or None if no tile fits the shared memory.

        Large tiles compute the fewest pixels twice; small ones occupy a GPU with few patches.
        """
        count, side = len(patches), patches.shape[-1]
        large, small = self._compiled(side, LARGE), self._compiled(side, SMALL)
        if large is None or small is None:
            return None
        tile, program = large if count * large[0].count >= self._min_blocks else small
        result_side = self._second.result_side(self._first.result_side(side))
        features = self._device.empty((count, len(self._second.bias), result_side, result_side))
        arrays, kernel = (patches, *self._weights, features), for_pixels("features", patches)
        self._device.launch_blocks(kernel, count * tile.count, WARPS * LANES, tile.shared, *arrays, program=program)
        return features

    def _program(self, patch_side: int, pixels: int) -> tuple[Tile, Program] | None:
        """The tile for patches of this side, and the program for its geometry; compiled at its first launch."""
        first, second, channels = self._first, self._second, self._first.weight.shape[1]
        intermediate_side = first.result_side(patch_side)
        side = second.result_side(intermediate_side)
        tile = Tile.best(second, channels, side, pixels)
        if tile is None:
            return None
        geometry = {
            **{"CHANNELS": channels, "PATCH_SIDE": patch_side, "FIRST_PADDING": first.padding},
            **{"INTERMEDIATE_SIDE": intermediate_side, "GROUPS": self._groups},
            **{"KERNEL": second.weight.shape[-1], "STRIDE": second.stride, "PADDING": second.padding},
            **{"DILATION": second.dilation, "OUTPUTS": len(second.bias), "SIDE": side, "REACH": self._norm.reach()},
        }
        return tile, features_program(geometry | tile.defines())


def _laid_out(first: Convolution, second: Convolution, norm: Normalisation) -> dict[str, NDArray[np.float32]]:
    """The arrays in the order of the kernel's parameters, weights padded with zeros; see features.cu."""
    intermediate, outputs = len(first.bias), len(second.bias)
    groups = -(-intermediate // GROUP_CHANNELS)
    more, missing = groups * GROUP_CHANNELS - intermediate, MAX_OUTPUTS - outputs
    ones = np.pad(first.weight, [(0, more), (0, 0), (0, 0), (0, 0)])
    twos = np.pad(second.weight, [(0, missing), (0, more), (0, 0), (0, 0)])
    twos = twos.reshape(MAX_OUTPUTS, groups, GROUP_CHANNELS, *twos.shape[2:])
    return {
        "first": np.moveaxis(ones.reshape(groups, GROUP_CHANNELS, *ones.shape[1:]), 1, -1),
        "first_bias": np.pad(first.bias, (0, more)).reshape(groups, GROUP_CHANNELS),
        "second": twos.transpose(1, 3, 4, 2, 0),
        "second_bias": np.pad(second.bias, (0, missing)),
        "band": norm.band,
        "offset": norm.offset,
    }
