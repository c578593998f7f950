"""A network of two convolutions as one kernel, `features.cu`: its weights on the device, and the choice of tiles.

The intermediate maps never leave the chip. A block computes all intermediate pixels that its tile of features needs, so
pixels at the edges of tiles are computed more than once. tensor_convolutions.py has the same for tensor cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.kernels.constants import (
    GROUP_CHANNELS,
    LANES,
    MAX_OUTPUTS,
    MAX_SHARED,
    RUN_LENGTH,
    WARP_OUTPUTS,
    WARPS,
)
from dcfnet.devices.cuda.kernels.program import Program, features_program, for_pixels
from dcfnet.filter.dcf import Array
from dcfnet.model.layers import Convolution, Normalisation

FOUR = 16  # bytes of the structure Four of common.cu


@dataclass(frozen=True)
class Tile:
    """The part of a feature map that one block computes. First seven fields: see tiles.cu. count: tiles per map.

    channels: of the patches. kernel: of the second convolution. conflict_free: whether eight neighbouring features
    read different banks of shared memory, also across the end of a row.
    """

    LARGE: ClassVar[int] = 8  # PIXELS of large tiles
    SMALL: ClassVar[int] = 2  # and of small ones

    pixels: int
    width: int
    height: int
    rows: int
    columns: int
    part: int
    pitch: int
    count: int
    channels: int
    kernel: int
    conflict_free: bool

    @classmethod
    def of(cls, second: Convolution, channels: int, side: int, width: int, pixels: int) -> Tile:
        """A tile of this width. channels: of the patches. side: of the features. pixels: LARGE or SMALL."""
        height, kernel = min(pixels * LANES // width, side), second.weight.shape[-1]
        rows, columns = ((n - 1) * second.stride + (kernel - 1) * second.dilation + 1 for n in (height, width))
        part = -(-columns // second.stride)
        pitches = range(second.stride * part, second.stride * part + 8)
        pitch = next((pitch for pitch in pitches if (second.stride * pitch - width) % 8 == 0), pitches[0])
        count = -(-side // width) * -(-side // height)
        conflict_free = (second.stride * pitch - width) % 8 == 0
        return cls(pixels, width, height, rows, columns, part, pitch, count, channels, kernel, conflict_free)

    @classmethod
    def best(cls, second: Convolution, channels: int, side: int, pixels: int) -> Tile | None:
        """The tile with the least work for a map; None if no tile fits the shared memory."""
        tiles = (cls.of(second, channels, side, width, pixels) for width in range(1, min(pixels * LANES, side) + 1))
        fitting = (tile for tile in tiles if tile.shared <= MAX_SHARED)
        return min(fitting, key=lambda t: (t.count * t.work, not t.conflict_free, t.shared), default=None)

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        window = 4 * self.channels * (self.rows + 2) * (self._runs() * RUN_LENGTH + 2)
        weights = self.kernel**2 * (GROUP_CHANNELS * MAX_OUTPUTS * 4 + 4)
        return max(self.rows * self.pitch * FOUR + weights + window, self.pixels * LANES * MAX_OUTPUTS * 4)

    @property
    def work(self) -> int:
        """Multiply-adds of a thread for one group of channels."""
        rounds = -(-self.rows * self._runs() // (WARPS * LANES))
        first = 9 * self.channels * RUN_LENGTH * GROUP_CHANNELS
        return rounds * first + self.pixels * self.kernel**2 * GROUP_CHANNELS * WARP_OUTPUTS

    def _runs(self) -> int:
        """Runs of neighbouring intermediate pixels in a row."""
        return -(-self.columns // RUN_LENGTH)

    def defines(self) -> dict[str, int]:
        """The tile's constants of tiles.cu."""
        names = ("PIXELS", "TILE_WIDTH", "TILE_HEIGHT", "ROWS", "COLUMNS", "PART", "PITCH")
        values = (self.pixels, self.width, self.height, self.rows, self.columns, self.part, self.pitch)
        return dict(zip(names, values, strict=True))


class FusedConvolutions:
    """Patches to features in one kernel, queued. For networks that `supports` accepts."""

    kernel: ClassVar[str] = "features"
    group_channels: ClassVar[int] = GROUP_CHANNELS  # intermediate channels in shared memory at a time
    tiles: ClassVar[type[Tile]] = Tile

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        """device: a `CudaDevice`."""
        self._device, (self._first, self._second), self._norm = device, convolutions, norm
        laid_out = self._laid_out(self._first, self._second)
        self._weights = [device.constant(values) for values in (*laid_out, norm.band, norm.offset)]
        self._min_blocks = 2 * device.attribute("MultiProcessorCount")  # fewer large tiles do not occupy the GPU
        self._compiled = cache(self._program)

    @classmethod
    def supports(cls, convolutions: Sequence[Convolution]) -> bool:
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
        large, small = (self._compiled(side, pixels) for pixels in (self.tiles.LARGE, self.tiles.SMALL))
        if large is None or small is None:
            return None
        tile, program = large if count * large[0].count >= self._min_blocks else small
        result_side = self._second.result_side(self._first.result_side(side))
        features = self._device.empty((count, len(self._second.bias), result_side, result_side))
        arrays, kernel = (patches, *self._weights, features), for_pixels(self.kernel, patches)
        self._device.launch_blocks(kernel, count * tile.count, WARPS * LANES, tile.shared, *arrays, program=program)
        return features

    def _program(self, patch_side: int, pixels: int) -> tuple[Tile, Program] | None:
        """The tile for patches of this side, and the program for its geometry; compiled at its first launch."""
        first, second, channels = self._first, self._second, self._first.weight.shape[1]
        intermediate_side = first.result_side(patch_side)
        side = second.result_side(intermediate_side)
        tile = self.tiles.best(second, channels, side, pixels)
        if tile is None:
            return None
        geometry = {
            **{"CHANNELS": channels, "PATCH_SIDE": patch_side, "FIRST_PADDING": first.padding},
            **{"INTERMEDIATE_SIDE": intermediate_side, "GROUPS": -(-len(first.bias) // self.group_channels)},
            **{"KERNEL": second.weight.shape[-1], "STRIDE": second.stride, "PADDING": second.padding},
            **{"DILATION": second.dilation, "OUTPUTS": len(second.bias), "SIDE": side, "REACH": self._norm.reach()},
        }
        return tile, self._compile_for(geometry | tile.defines())

    def _compile_for(self, geometry: Mapping[str, int]) -> Program:
        return features_program(dict(geometry))

    def _laid_out(self, first: Convolution, second: Convolution) -> tuple[NDArray[np.generic], ...]:
        """Weights and biases of both convolutions in the layout of the kernel, padded with zeros; see features.cu."""
        intermediate, outputs = len(first.bias), len(second.bias)
        groups = -(-intermediate // GROUP_CHANNELS)
        more, missing = groups * GROUP_CHANNELS - intermediate, MAX_OUTPUTS - outputs
        ones = np.pad(first.weight, [(0, more), (0, 0), (0, 0), (0, 0)])
        twos = np.pad(second.weight, [(0, missing), (0, more), (0, 0), (0, 0)])
        twos = twos.reshape(MAX_OUTPUTS, groups, GROUP_CHANNELS, *twos.shape[2:])
        return (
            np.moveaxis(ones.reshape(groups, GROUP_CHANNELS, *ones.shape[1:]), 1, -1),
            np.pad(first.bias, (0, more)).reshape(groups, GROUP_CHANNELS),
            twos.transpose(1, 3, 4, 2, 0),
            np.pad(second.bias, (0, missing)),
        )
