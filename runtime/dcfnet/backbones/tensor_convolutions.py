"""A network of two convolutions as one kernel on tensor cores, `tensor_features.cu`, in float16 with sums in float32.

Patches are whole numbers, which float16 represents exactly. Intermediate maps and the weights of the second convolution
are rounded to float16, to 11 bits as in TF32. A weight of the first convolution is the sum of two float16. A power of
two per intermediate channel keeps it in the range of float16 for every possible patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.backbones.fused_convolutions import FusedConvolutions, Tile
from dcfnet.devices.cuda.kernels.constants import (
    LANES,
    MAX_OUTPUTS,
    PIXEL_NUMBERS,
    TENSOR_CHANNELS,
    TENSOR_ROWS,
    TENSOR_STEP,
    WARPS,
)
from dcfnet.devices.cuda.kernels.program import Program, tensor_program
from dcfnet.errors import DeviceError, ModelError
from dcfnet.model.layers import Convolution, Normalisation

LEAST_CAPABILITY = (7, 5)  # compute capability with products of float16 and sums of float32 for 16 x 8 numbers
DEEP_CAPABILITY = (8, 0)  # from here on, one instruction multiplies 16 columns, not 8
PIXEL_CYCLES = 2 + 12 + 4  # see `work`, for 16 intermediate pixels: their places, patch pixels, results
LARGEST_PIXEL = 255.0  # a patch pixel is a level minus a mean level
LARGEST_HALF, SMALLEST_HALF = float(np.finfo(np.float16).max), float(np.finfo(np.float16).tiny)


class TensorTile(Tile):
    """See `Tile`. A warp computes pixels / 2 times 16 features in all channels."""

    LARGE: ClassVar[int] = 4
    SMALL: ClassVar[int] = 2

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        window = (self.rows + 2) * (self.columns + 3) * PIXEL_NUMBERS * 2
        stored = self._products() * TENSOR_ROWS
        return max(stored * (TENSOR_STEP * 4 + 2) + window, (self.pixels * LANES + 4) * MAX_OUTPUTS * 4)

    @property
    def work(self) -> int:
        """Cycles of a multiprocessor that load both factors and store intermediate pixels, for one group of channels.

        There are more of them than of the products. A cycle loads or stores a word for each lane, from different banks.
        """
        features = self.pixels * LANES // TENSOR_ROWS * (4 if self.conflict_free else 8)
        return self._products() * PIXEL_CYCLES + self.kernel**2 * (features + 8 * WARPS)

    def _products(self) -> int:
        """Products with TENSOR_ROWS intermediate pixels each that give all of them."""
        return -(-self.rows * self.pitch // TENSOR_ROWS)


class TensorConvolutions(FusedConvolutions):
    """See `FusedConvolutions`. For patches whose values are at most LARGEST_PIXEL."""

    kernel = "tensor_features"
    group_channels = TENSOR_CHANNELS
    tiles = TensorTile

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        """device: a `CudaDevice`. Raises DeviceError for a GPU without such tensor cores, ModelError as `fragments`."""
        capability = tuple(int(part) for part in device.compute_capability.split("."))
        if capability < LEAST_CAPABILITY:
            raise DeviceError(
                f"the GPU has compute capability {device.compute_capability}: tensor cores for float16 need at least "
                f"{'.'.join(map(str, LEAST_CAPABILITY))}; use engine='native', which computes in float32"
            )
        self._depth = 16 if capability >= DEEP_CAPABILITY else 8
        super().__init__(device, convolutions, norm)

    @classmethod
    def supports(cls, convolutions: Sequence[Convolution]) -> bool:
        """As for `FusedConvolutions`, with patches of at most PIXEL_NUMBERS channels."""
        return super().supports(convolutions) and convolutions[0].weight.shape[1] <= PIXEL_NUMBERS

    def _compile_for(self, geometry: Mapping[str, int]) -> Program:
        return tensor_program({**geometry, "TENSOR_DEPTH": self._depth})

    def _laid_out(self, first: Convolution, second: Convolution) -> tuple[NDArray[np.generic], ...]:
        """Weights and biases of both convolutions in the layout of the kernel; see tensor_features.cu."""
        scale = channel_scales(first)
        groups, outputs = -(-len(scale) // TENSOR_CHANNELS), len(second.bias)
        more, missing = groups * TENSOR_CHANNELS - len(scale), MAX_OUTPUTS - outputs
        ones = np.zeros((groups * TENSOR_CHANNELS, 3, PIXEL_NUMBERS, PIXEL_NUMBERS), np.float32)  # (I, y, x, channel)
        ones[: len(scale), :, :3, : first.weight.shape[1]] = np.moveaxis(
            first.weight * scale[:, None, None, None], 1, -1
        )
        ones = split(ones.reshape(groups, TENSOR_CHANNELS, 3, -1).transpose(0, 2, 3, 1))
        twos = np.pad(second.weight / scale[:, None, None], [(0, missing), (0, more), (0, 0), (0, 0)])
        twos = twos.reshape(MAX_OUTPUTS, groups, TENSOR_CHANNELS, *twos.shape[2:]).transpose(1, 3, 4, 2, 0)
        bias = np.pad(first.bias * scale, (0, more)).reshape(groups, TENSOR_CHANNELS)
        return fragments(ones), bias, fragments(twos), np.pad(second.bias, (0, missing))


def channel_scales(first: Convolution) -> NDArray[np.float32]:
    """Powers of two, float32 (I,), by which the weights of each intermediate channel are multiplied.

    The largest weight is then below 1, so small ones keep their bits. The channel is at most half the largest float16.
    """
    sizes = np.abs(first.weight.astype(np.float64))
    largest = LARGEST_PIXEL * sizes.sum(axis=(1, 2, 3)) + np.abs(first.bias)
    limits = np.stack([sizes.max(axis=(1, 2, 3)), largest * 2 / LARGEST_HALF])
    scales: NDArray[np.float32] = np.exp2(-np.ceil(np.log2(limits.max(axis=0).clip(min=SMALLEST_HALF))), dtype="f4")
    return scales


def split(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (G, ...) as two float16 each, whose sum has 22 bits: float32 (G, 2, ...), the larger ones first.

    Patches have large means, so rounded weights of the first convolution would give its channels a constant error.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        larger = weights.astype(np.float16).astype(np.float32)
        return np.stack([larger, weights - larger], axis=1)


def fragments(factor: NDArray[np.float32]) -> NDArray[np.float16]:
    """Right factors (..., 16, C) as tensor_features.cu reads them: float16 (..., C / 16, LANES, 8).

    C: a multiple of 16.
    A lane has rows 2m, 2m + 1, 2m + 8 and 2m + 9 of column g, then of column g + 8; lane = 4g + m, see tensor_cores.cu.
    Raises ModelError for a number that float16 does not have.
    """
    with np.errstate(over="ignore"):
        halves = factor.astype(np.float16)
    if not np.isfinite(halves).all():
        raise ModelError(
            f"the network has weights up to {np.abs(factor).max():.3g}, the largest float16 is {LARGEST_HALF:.0f}; "
            "use engine='native', which computes in float32"
        )
    *stack, _, columns = factor.shape
    parts = halves.reshape(*stack, 2, 4, 2, columns // 16, 2, 8)  # word, member, half; pair, column tile, group
    ahead = len(stack)
    order = [ahead + axis for axis in (3, 5, 1, 4, 0, 2)]  # pair, group, member, column tile, word, half
    return np.ascontiguousarray(parts.transpose(*range(ahead), *order).reshape(*stack, columns // 16, LANES, 8))
