"""A network of two convolutions as one kernel, `features.cu`: its weights on the device, and the tiles it is done in.

What lies between the convolutions never leaves the chip: a block makes the places between that its tile of features is
made of, those at the tile's edges once more than there is need for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.kernels import for_pixels
from dcfnet.layers import Convolution, Normalisation

LANES, WARPS, OUTPUTS_AT_ONCE, CHANNELS_AT_ONCE, FIRST_AT_ONCE = 32, 4, 8, 4, 5  # as in features.cu
OUTPUTS = WARPS * OUTPUTS_AT_ONCE  # features have no more channels than a block sums
PIXELS = {"features_large": 8, "features_small": 2}  # that a thread sums, by kernel: LARGE and SMALL
SHARED = 48 * 1024  # bytes of a block, wherever CUDA is; more has to be asked for
FOUR = 16
PLAN = np.dtype(
    [
        *((name, "u8") for name in ("first", "first_bias", "second", "second_bias", "band", "offset")),
        *((name, "i4") for name in ("channels", "patch_side", "first_padding", "between_side", "groups")),
        *((name, "i4") for name in ("kernel", "stride", "padding", "dilation", "outputs", "side", "reach")),
        *((name, "i4") for name in ("width", "height", "rows", "columns", "part", "pitch")),
    ],
    align=True,
)


@dataclass(frozen=True)
class Tile:
    """What a block makes: features, of places between; see Plan of features.cu. count: of tiles that make a map.

    shared: bytes. work: multiply-adds of a thread for one group of channels. spread: whether eight features, one after
    another, are made of places in different banks of shared memory, where a row ends among them too.
    """

    width: int
    height: int
    rows: int
    columns: int
    part: int
    pitch: int
    count: int
    shared: int
    work: int
    spread: bool

    @classmethod
    def of(cls, second: Convolution, channels: int, side: int, width: int, pixels: int) -> Tile:
        """Of this width; channels: of the patches; side: of the features; pixels: that a thread sums."""
        height, kernel = min(pixels * LANES // width, side), second.weight.shape[-1]
        rows, columns = ((many - 1) * second.stride + (kernel - 1) * second.dilation + 1 for many in (height, width))
        part = -(-columns // second.stride)
        pitches = range(second.stride * part, second.stride * part + 8)
        pitch = next((many for many in pitches if (second.stride * many - width) % 8 == 0), pitches[0])
        runs = -(-columns // FIRST_AT_ONCE)
        seen = 4 * channels * (rows + 2) * (runs * FIRST_AT_ONCE + 2)
        weights = kernel**2 * (CHANNELS_AT_ONCE * OUTPUTS * 4 + 4)
        shared = max(rows * pitch * FOUR + weights + seen, pixels * LANES * OUTPUTS * 4)
        turns = -(-rows * runs // (WARPS * LANES))
        first, then = 9 * channels * FIRST_AT_ONCE * CHANNELS_AT_ONCE, kernel**2 * CHANNELS_AT_ONCE * OUTPUTS_AT_ONCE
        count = -(-side // width) * -(-side // height)
        spread = (second.stride * pitch - width) % 8 == 0
        return cls(width, height, rows, columns, part, pitch, count, shared, turns * first + pixels * then, spread)

    @classmethod
    def best(cls, second: Convolution, channels: int, side: int, pixels: int) -> Tile | None:
        """The one with least work for a map; None where none finds room."""
        widths = range(1, min(pixels * LANES, side) + 1)
        all_ = (cls.of(second, channels, side, width, pixels) for width in widths)
        roomy = (tile for tile in all_ if tile.shared <= SHARED)
        return min(roomy, key=lambda tile: (tile.count * tile.work, not tile.spread, tile.shared), default=None)


class Fusion:
    """Patches to features in one kernel, queued. Of two convolutions for which `fits` is true."""

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        """device: a `CudaDevice`."""
        self._device, (self._first, self._second), self._norm = device, convolutions, norm
        self._weights = {
            name: device.constant(values) for name, values in _laid_out(self._first, self._second, norm).items()
        }
        self._blocks_to_fill = 2 * device.attribute("MultiProcessorCount")  # fewer large tiles keep no GPU busy
        self._planned = cache(self._plan)

    @staticmethod
    def fits(convolutions: Sequence[Convolution]) -> bool:
        """Whether the kernel is for these: the first of two is 3 x 3, without stride and dilation."""
        if len(convolutions) != 2 or len(convolutions[1].bias) > OUTPUTS:
            return False
        first, second = convolutions
        plain = (first.weight.shape[-1], first.stride, first.dilation) == (3, 1, 1)
        return plain and first.rectified and not second.rectified

    def __call__(self, patches: Array) -> Array | None:
        """float32 or float16 (B, I, S, S) -> float32 (B, O, H, H), or None where a tile finds no room."""
        count, side = len(patches), patches.shape[-1]
        large, small = (self._planned(side, kernel) for kernel in PIXELS)
        if large is None or small is None:
            return None
        kernel, (tile, plan) = (
            ("features_large", large) if count * large[0].count >= self._blocks_to_fill else ("features_small", small)
        )
        made_side = self._second.made_side(self._first.made_side(side))
        made = self._device.empty((count, len(self._second.bias), made_side, made_side))
        arrays, kernel = (patches, plan, made), for_pixels(kernel, patches)
        self._device.launch_blocks(kernel, count * tile.count, WARPS * LANES, tile.shared, *arrays)
        return made

    def _plan(self, patch_side: int, kernel: str) -> tuple[Tile, Array] | None:
        first, second = self._first, self._second
        between_side = first.made_side(patch_side)
        side, channels = second.made_side(between_side), first.weight.shape[1]
        tile = Tile.best(second, channels, side, PIXELS[kernel])
        if tile is None:
            return None
        plan = np.zeros(1, PLAN)
        groups, reach = len(self._weights["first_bias"]), self._norm.reach()
        before = (channels, patch_side, first.padding, between_side, groups)
        after = (second.weight.shape[-1], second.stride, second.padding, second.dilation, len(second.bias), side, reach)
        addresses = (self._device.address(self._weights[name]) for name in (PLAN.names or ())[:6])
        plan[0] = (*addresses, *before, *after, *(getattr(tile, field.name) for field in fields(tile)[:6]))
        return tile, self._device.constant(plan.view(np.uint8))


def _laid_out(first: Convolution, second: Convolution, norm: Normalisation) -> dict[str, NDArray[np.float32]]:
    """Weights as the kernel reads them, filled up with zeros; see Plan of features.cu."""
    between, outputs = len(first.bias), len(second.bias)
    groups = -(-between // CHANNELS_AT_ONCE)
    more, none = groups * CHANNELS_AT_ONCE - between, OUTPUTS - outputs
    ones = np.pad(first.weight, [(0, more), (0, 0), (0, 0), (0, 0)])
    twos = np.pad(second.weight, [(0, none), (0, more), (0, 0), (0, 0)])
    twos = twos.reshape(OUTPUTS, groups, CHANNELS_AT_ONCE, *twos.shape[2:])
    return {
        "first": np.moveaxis(ones.reshape(groups, CHANNELS_AT_ONCE, *ones.shape[1:]), 1, -1),
        "first_bias": np.pad(first.bias, (0, more)).reshape(groups, CHANNELS_AT_ONCE),
        "second": twos.transpose(1, 3, 4, 2, 0),
        "second_bias": np.pad(second.bias, (0, none)),
        "band": norm.band,
        "offset": norm.offset,
    }
