"""Backbone on a TensorRT or TensorRT-RTX engine, over CuPy's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dcfnet.backend import Array
from dcfnet.engines.builder import Binding
from dcfnet.engines.fit import Environment, misfits
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.errors import DeviceError, EngineError, MissingDependencyError, ModelError
from dcfnet.model import Model

ALIGNED = 256  # bytes: what TensorRT asks of every address, and new memory of a device is; parts of it are not


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
        flavour = self._flavour = flavour or open_flavour(self._passport.flavour)
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
        self._most = self._passport.options.max_batch
        self.takes: type[np.floating[Any]] = np.float16 if self._passport.inputs[0].dtype == "half" else np.float32
        self._execution = self._executed()

    def __call__(self, patches: Array) -> Array:
        features = self._device.joined([self._execution.run(part) for part in _parts(patches, self._most)])
        return self._device.to_host(features) if isinstance(patches, np.ndarray) else features

    def own(self) -> OwnExecutions:
        """The engine for a program that is captured, beside whatever else it is used for."""
        return OwnExecutions(self._device, self._executed, self._most)

    def _executed(self) -> Execution:
        return Execution(self._device, self._name, self._flavour, self._engine, self.takes)

    def _check_tensors(self) -> None:
        """Raises EngineError where the engine has other tensors than its passport says."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        found = [
            Binding.of(name, self._engine.get_tensor_dtype(name), self._engine.get_tensor_shape(name)) for name in names
        ]
        told = [*self._passport.inputs, *self._passport.outputs]
        if sorted((b.name, b.dtype) for b in found) != sorted((b.name, b.dtype) for b in told):
            raise EngineError(f"{self._name}: has tensors {found}, its passport says {told}")


class Execution:
    """A context of an engine, with scratch memory of its own: TensorRT takes none by itself, which it could not while a
    graph is captured.
    """

    def __init__(self, device: Any, name: str, flavour: Flavour, engine: Any, takes: Any) -> None:
        """takes: type of its patches. Raises EngineError where there is no context to be had."""
        self._device, self._name, self._context = device, name, _context(flavour.module, engine)
        if self._context is None:
            raise EngineError(f"{name}: no memory to run it in: {flavour.errors()}")
        self._takes = takes
        self._scratch = device.empty((1,), np.uint8)
        self._shape: tuple[int, ...] = ()
        self._capturable: bool | None = None

    def run(self, patches: Array) -> Array:
        """Features of patches (B, 3, S, S) of the device or the host, queued. Raises EngineError."""
        self.prepare(tuple(patches.shape))
        device, context, given = self._device, self._context, self._placed(patches)
        features = device.empty(tuple(context.get_tensor_shape("features")))
        context.set_tensor_address("patches", device.address(given))
        context.set_tensor_address("features", device.address(features))
        if not context.execute_async_v3(device.stream):
            raise EngineError(f"{self._name}: the engine did not run on patches {tuple(patches.shape)}")
        return features

    def _placed(self, patches: Array) -> Array:
        """The patches, or a copy of them on the device, as the engine reads them: of its type, contiguous, aligned."""
        there = not isinstance(patches, np.ndarray) and patches.dtype == self._takes and patches.flags.c_contiguous
        if there and self._device.address(patches) % ALIGNED == 0:
            return patches
        given = self._device.empty(tuple(patches.shape), self._takes)
        self._device.copy(patches, given)
        return given

    def prepare(self, shape: tuple[int, ...]) -> None:
        """For an input of this shape; nothing where it was of this shape the last time."""
        if shape == self._shape:
            return
        self._context.set_input_shape("patches", shape)
        size = int(self._context.update_device_memory_size_for_shapes())
        if size > len(self._scratch):
            self._scratch = self._device.empty((size,), np.uint8)
        self._context.set_device_memory(self._device.address(self._scratch), len(self._scratch))
        self._shape = shape

    def capturable(self) -> bool:
        """Whether a run of the shape that it was prepared for can be part of a graph on the current stream."""
        if self._capturable is None:
            asked = getattr(self._context, "is_stream_capturable", None)  # of TensorRT-RTX alone; the other's always is
            self._capturable = asked is None or bool(asked(self._device.stream))
        return self._capturable


class OwnExecutions:
    """An engine within one captured program: every call has a context of its own, which nothing else touches.

    TensorRT forbids another use of a context that a graph was captured from, another shape among them.
    """

    def __init__(self, device: Any, make: Callable[[], Execution], most: int) -> None:
        """make: a new execution. most: how many patches one takes."""
        self._device, self._make, self._most = device, make, most
        self._executions: list[Execution] = []
        self._turn = 0

    def begin(self) -> None:
        """The program is recorded from its start: its calls come in the same order, of the same shapes."""
        self._turn = 0

    def __call__(self, patches: Array) -> Array | None:
        """Features of patches of the device, queued; None where this cannot be captured."""
        parts = []
        for part in _parts(patches, self._most):
            execution = self._next()
            execution.prepare(tuple(part.shape))
            if not execution.capturable():
                return None
            parts.append(execution.run(part))
        return self._device.joined(parts)

    def _next(self) -> Execution:
        if self._turn == len(self._executions):
            self._executions.append(self._make())
        self._turn += 1
        return self._executions[self._turn - 1]


def _parts(patches: Array, most: int) -> list[Array]:
    """Patches as an engine takes them, at most so many at once."""
    return [patches[first : first + most] for first in range(0, len(patches), most)]


def _context(trt: Any, engine: Any) -> Any:
    """A context whose memory the caller gives. None where there is none left.

    Of TensorRT-RTX one that compiles what is best for a shape at its first run: later it would, in a graph, never be.
    """
    managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        return engine.create_execution_context(managed)
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(managed)
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    return engine.create_execution_context(config)


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
