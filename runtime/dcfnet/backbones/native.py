"""Backbone with CUDA kernels of this project. It needs neither an engine file nor a library except CuPy.

A network of two convolutions, like that of the model `dcfnet`, runs as one kernel together with its normalisation
(fused_convolutions.py). For other networks each layer is a kernel that writes its maps to device memory. All of them
are float32. On tensor cores there is only the one kernel, in float16 with sums in float32 (tensor_convolutions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backbones.fused_convolutions import FusedConvolutions
from dcfnet.backbones.tensor_convolutions import TensorConvolutions
from dcfnet.devices.cuda.kernels.constants import MAX_OUTPUTS, OUTPUTS_PER_THREAD
from dcfnet.errors import ModelError
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model
from dcfnet.model.layers import Convolution, Normalisation, read_layers


class NativeBackbone(Backbone):
    """Backbone on features.cu, tensor_features.cu or layers.cu; host and device arrays. See `Backbone` for layouts."""

    capturable = True

    def __init__(self, model: Model, device: Any = None, tensor_cores: bool = False) -> None:
        """device: a `CudaDevice`; None opens one. tensor_cores: whether they compute the convolutions, in float16.

        Raises ModelError that names the unsupported part of the file, MissingDependencyError and DeviceError.
        """
        self._convolutions, self._norm = read_layers(model)
        kind = TensorConvolutions if tensor_cores else FusedConvolutions
        fused, self._must_fuse = kind.supports(self._convolutions), tensor_cores
        if tensor_cores and not fused:
            raise ModelError(
                f"{model.name}: tensor cores run two convolutions, the first 3 x 3 with stride 1, and at most "
                f"{MAX_OUTPUTS} channels of features; use engine='native' for this network"
            )
        self._device = device or _open_device()
        self._fused = kind(self._device, self._convolutions, self._norm) if fused else None
        # Half as many bytes to read. Sums are float32 in any case.
        self.input_dtype = np.float16 if fused else np.float32

    def __call__(self, patches: Array) -> Array:
        on_host = isinstance(patches, np.ndarray)
        on_device = self._device.upload(patches) if on_host else patches
        features = self._fused(on_device) if self._fused is not None else None
        if features is None and self._must_fuse:
            raise ModelError("no tile of the kernel for tensor cores fits the shared memory; use engine='native'")
        features = self._layers(on_device) if features is None else features
        return self._device.to_host(features) if on_host else features

    @cached_property
    def _layers(self) -> _Layers:
        """The kernels for networks that are not fused. Created on first use, because most models never need them."""
        return _Layers(self._device, self._convolutions, self._norm)


@dataclass(frozen=True)
class _DeviceConvolution:
    """A convolution with its weights and bias on the device, float32, in groups of OUTPUTS_PER_THREAD outputs."""

    layer: Convolution
    weight: Array
    bias: Array


class _Layers:
    """Patches to features, one kernel per layer, queued."""

    def __init__(self, device: Any, convolutions: Sequence[Convolution], norm: Normalisation) -> None:
        self._device = device
        self._convolutions = [self._to_device(layer) for layer in convolutions]
        self._band, self._offset = device.constant(norm.band), device.constant(norm.offset)
        self._reach = norm.reach()

    def __call__(self, maps: Array) -> Array:
        maps = maps.astype(np.float32, copy=False)  # float16 if the fused kernel found no tile
        for convolution in self._convolutions:
            maps = self._convolve(convolution, maps)
        return self._normalise(maps)

    def _to_device(self, layer: Convolution) -> _DeviceConvolution:
        weight, bias = grouped(layer.weight), grouped(layer.bias)
        return _DeviceConvolution(layer, self._device.constant(weight), self._device.constant(bias))

    def _convolve(self, convolution: _DeviceConvolution, maps: Array) -> Array:
        """Maps (B, I, H, H) -> (B, O, H', H')."""
        layer, (count, channels, side, _) = convolution.layer, maps.shape
        outputs, kernel, result_side = len(layer.bias), layer.weight.shape[-1], layer.result_side(side)
        result = self._device.empty((count, outputs, result_side, result_side))
        sizes = (count, channels, side, outputs, result_side, kernel, layer.stride, layer.padding, layer.dilation)
        threads = count * -(-outputs // OUTPUTS_PER_THREAD) * result_side**2
        arrays = (maps, convolution.weight, convolution.bias, result)
        self._device.launch("convolve", threads, *arrays, *map(np.int32, (*sizes, layer.rectified)))
        return result

    def _normalise(self, features: Array) -> Array:
        count, channels, height, width = features.shape
        result, area = self._device.empty(features.shape), height * width
        arrays, sizes = (features, self._band, self._offset, result), (count, channels, area, self._reach)
        self._device.launch("normalise", count * channels * area, *arrays, *map(np.int32, sizes))
        return result


def grouped(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights or biases (O, ...) as the kernel reads them: (groups, ..., OUTPUTS_PER_THREAD), padded with zeros."""
    padding = np.zeros((-len(weight) % OUTPUTS_PER_THREAD, *weight.shape[1:]), dtype=np.float32)
    groups = np.concatenate([weight, padding]).reshape(-1, OUTPUTS_PER_THREAD, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(groups, 1, -1))


def _open_device() -> Any:
    from dcfnet.devices.cuda.device import CudaDevice

    return CudaDevice()
