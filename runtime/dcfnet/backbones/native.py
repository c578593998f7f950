"""Backbone on kernels of our own: what a CUDA machine runs where there is no engine and no other library than CuPy.

Float32. Two convolutions, as the shipped network has them, are one kernel with the normalisation (fusion.py). Any other
number is a kernel for each, plain on purpose, whose maps travel through memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.fusion import Fusion
from dcfnet.layers import Convolution, Normalisation, read_layers
from dcfnet.model import Model

AT_ONCE = 16  # channels that a thread sums at once: as in kernels.cu


class NativeBackbone:
    """Backbone on features.cu or kernels.cu; host and device arrays. See `Backbone` for layouts."""

    capturable = True

    def __init__(self, model: Model, device: Any = None) -> None:
        """Device is opened where none is given.

        Raises ModelError naming what the file has that is not taken, MissingDependencyError and DeviceError.
        """
        self._convolutions, self._norm = read_layers(model)
        self._device = device or _open_device()
        fused = Fusion.fits(self._convolutions)
        self._fusion = Fusion(self._device, self._convolutions, self._norm) if fused else None
        # Half as many bytes to read; sums are float32 all the same.
        self.takes: type[np.floating[Any]] = np.float16 if fused else np.float32

    def __call__(self, patches: Array) -> Array:
        host = isinstance(patches, np.ndarray)
        given = self._device.upload(patches) if host else patches
        features = self._fusion(given) if self._fusion is not None else None
        features = self._layers(given) if features is None else features
        return self._device.to_host(features) if host else features

    @cached_property
    def _layers(self) -> _Layers:
        """For what is not fused; most files never need it."""
        return _Layers(self._device, self._convolutions, self._norm)


@dataclass(frozen=True)
class _Placed:
    """A convolution whose weights and bias, float32, lie on the device, in groups of AT_ONCE outputs."""

    layer: Convolution
    weight: Array
    bias: Array


class _Layers:
    """Patches to features by kernels.cu, a kernel a layer, queued."""

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        self._device = device
        self._convolutions = [self._place(layer) for layer in convolutions]
        self._band, self._offset = device.constant(norm.band), device.constant(norm.offset)
        self._reach = norm.reach()

    def __call__(self, maps: Array) -> Array:
        maps = maps.astype(np.float32, copy=False)  # of a tile that finds no room
        for convolution in self._convolutions:
            maps = self._convolve(convolution, maps)
        return self._normalise(maps)

    def _place(self, layer: Convolution) -> _Placed:
        weight, bias = grouped(layer.weight), grouped(layer.bias)
        return _Placed(layer, self._device.constant(weight), self._device.constant(bias))

    def _convolve(self, placed: _Placed, maps: Array) -> Array:
        """Maps (B, I, H, H) -> (B, O, H', H')."""
        layer, (count, channels, side, _) = placed.layer, maps.shape
        outputs, kernel, made_side = len(layer.bias), layer.weight.shape[-1], layer.made_side(side)
        made = self._device.empty((count, outputs, made_side, made_side))
        numbers = (count, channels, side, outputs, made_side, kernel, layer.stride, layer.padding, layer.dilation)
        threads = count * -(-outputs // AT_ONCE) * made_side**2
        arrays = (maps, placed.weight, placed.bias, made)
        self._device.launch("convolve", threads, *arrays, *map(np.int32, (*numbers, layer.rectified)))
        return made

    def _normalise(self, features: Array) -> Array:
        count, channels, height, width = features.shape
        made, area = self._device.empty(features.shape), height * width
        arrays = (features, self._band, self._offset, made)
        numbers = map(np.int32, (count, channels, area, self._reach))
        self._device.launch("normalise", count * channels * area, *arrays, *numbers)
        return made


def grouped(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights or biases (O, ...) as the kernel reads them: (groups, ..., AT_ONCE), outputs filled up with zeros."""
    padded = np.zeros((-len(weight) % AT_ONCE, *weight.shape[1:]), dtype=np.float32)
    whole = np.concatenate([weight, padded]).reshape(-1, AT_ONCE, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(whole, 1, -1))


def _open_device() -> Any:
    from dcfnet.device import CudaDevice

    return CudaDevice()
