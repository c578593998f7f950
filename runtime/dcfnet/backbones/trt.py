"""Backbone on a TensorRT or TensorRT-RTX engine, over CuPy's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcfnet.backend import Array
from dcfnet.engines.builder import Binding
from dcfnet.engines.fit import Environment, misfits
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.errors import DeviceError, EngineError, MissingDependencyError, ModelError
from dcfnet.model import Model


class TrtBackbone:
    """Backbone on an engine whose passport has been checked; host and device arrays. See `Backbone` for layouts.

    Host code in the plan is never run.
    """

    def __init__(self, model: Model, side: int, flavour: Flavour | None = None, device: Any = None) -> None:
        """Opens the engine for patches of `side` px; flavour and device are opened where none is given.

        Raises EngineError naming every field in which the engine is not for here, before it is deserialised, and what
        TensorRT says where it does not take it; MissingDependencyError and DeviceError for what is not there.
        """
        if model.engine is None:
            raise ModelError(f"{model.name}: not an engine; dcfnet-export --trt makes one")
        self._passport, self._name = model.engine.passport, model.name
        flavour = flavour or open_flavour(self._passport.flavour)
        self._device = device or _open_device(model.name)
        here = Environment(flavour.name, flavour.version, self._device.compute_capability)
        if found := misfits(self._passport, here, 1, side):
            raise EngineError(f"{model.name}: not for here: {'; '.join(found)}; build it anew (dcfnet-run --rebuild)")
        self._runtime = flavour.module.Runtime(flavour.journal)
        self._runtime.engine_host_code_allowed = False
        self._engine = self._runtime.deserialize_cuda_engine(model.engine.plan)
        if self._engine is None:
            raise EngineError(f"{model.name}: {flavour.name} {flavour.version} refuses it: {flavour.errors()}")
        self._check_tensors()
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{model.name}: no memory to run it in: {flavour.errors()}")
        self._most = self._passport.options.max_batch
        self._input = self._device.empty((self._most, 3, side, side))  # of its own: slices of others are misaligned

    def __call__(self, patches: Array) -> Array:
        parts = [self._run(patches[first : first + self._most]) for first in range(0, len(patches), self._most)]
        features = self._device.joined(parts)
        return self._device.to_host(features) if isinstance(patches, np.ndarray) else features

    def _run(self, patches: Array) -> Array:
        given = self._input[: len(patches)]
        self._device.copy(patches, given)
        self._context.set_input_shape("patches", tuple(patches.shape))
        features = self._device.empty(tuple(self._context.get_tensor_shape("features")))
        self._context.set_tensor_address("patches", self._device.address(given))
        self._context.set_tensor_address("features", self._device.address(features))
        if not self._context.execute_async_v3(self._device.stream):
            raise EngineError(f"{self._name}: the engine did not run on patches {tuple(patches.shape)}")
        return features

    def _check_tensors(self) -> None:
        """Raises EngineError where the engine has other tensors than its passport says."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        found = [
            Binding.of(name, self._engine.get_tensor_dtype(name), self._engine.get_tensor_shape(name)) for name in names
        ]
        told = [*self._passport.inputs, *self._passport.outputs]
        if sorted((b.name, b.dtype) for b in found) != sorted((b.name, b.dtype) for b in told):
            raise EngineError(f"{self._name}: has tensors {found}, its passport says {told}")


def _open_device(name: str) -> Any:
    """The GPU. Raises DeviceError saying what an engine needs, and what runs without."""
    try:
        from dcfnet.device import CudaDevice

        return CudaDevice()
    except (MissingDependencyError, DeviceError) as error:
        raise DeviceError(
            f"{name}: an engine runs on an NVIDIA GPU, and none can be used here: {error}. Without one use "
            f"{name}.onnx, the model beside it"
        ) from error
