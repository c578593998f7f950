"""Backbone on a TensorRT or TensorRT-RTX engine, with CuPy's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dcfnet.engines.builder import Binding
from dcfnet.engines.bundle import EngineModel
from dcfnet.engines.compatibility import Environment, incompatibilities
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.errors import DeviceError, EngineError, MissingDependencyError, ModelError
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone, CaptureBackbone
from dcfnet.model.file import Model

ALIGNMENT = 256  # bytes: TensorRT requires it of each address; new device memory has it, slices may not


class TrtBackbone(Backbone):
    """Backbone on an engine with a checked passport, for host and device arrays. See `Backbone` for layouts.

    Host code in the plan never runs.
    """

    def __init__(self, model: Model, side: int, flavour: Flavour | None = None, device: Any = None) -> None:
        """Opens the engine. side: of the patches, px. flavour, device: None opens them.

        Raises EngineError before deserialisation if the engine cannot run here, with all fields that differ, and with
        the errors of TensorRT if deserialisation fails. Raises MissingDependencyError without TensorRT, DeviceError
        without a GPU, and ModelError if the model is not an engine.
        """
        if not isinstance(model, EngineModel):
            raise ModelError(f"{model.name}: not an engine; create one with dcfnet-export --trt")
        self._passport, self._name = model.passport, model.name
        flavour = self._flavour = flavour or open_flavour(self._passport.flavour)
        self._device = device or _open_device(model.name)
        machine = Environment.of(flavour, self._device.compute_capability)
        if problems := incompatibilities(self._passport, machine, 1, side):
            raise EngineError(f"{model.name}: cannot run here: {'; '.join(problems)}; {machine.remedy(model.name)}")
        self._runtime = flavour.module.Runtime(flavour.log)
        self._runtime.engine_host_code_allowed = False
        self._engine = self._runtime.deserialize_cuda_engine(model.plan)
        if self._engine is None:
            raise EngineError(f"{model.name}: {flavour.name} {flavour.version} cannot load it: {flavour.errors()}")
        self._check_tensors()
        self._max_batch = self._passport.options.max_batch
        self.input_dtype = np.float16 if self._passport.inputs[0].dtype == "half" else np.float32
        self._execution = self._create_execution()

    def __call__(self, patches: Array) -> Array:
        features = self._device.concatenate([self._execution.run(part) for part in _split(patches, self._max_batch)])
        return self._device.to_host(features) if isinstance(patches, np.ndarray) else features

    def for_capture(self) -> CaptureExecutions:
        """The same engine for one captured program, with contexts of its own."""
        return CaptureExecutions(self._device, self._create_execution, self._max_batch)

    def _create_execution(self) -> Execution:
        return Execution(self._device, self._name, self._flavour, self._engine, self.input_dtype)

    def _check_tensors(self) -> None:
        """Raises EngineError if the tensors of the engine differ from those in its passport."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        found = [
            Binding.of(name, self._engine.get_tensor_dtype(name), self._engine.get_tensor_shape(name)) for name in names
        ]
        expected = [*self._passport.inputs, *self._passport.outputs]
        if sorted((b.name, b.dtype) for b in found) != sorted((b.name, b.dtype) for b in expected):
            raise EngineError(
                f"{self._name}: has tensors {found}, but its passport says {expected}; "
                "build it again (dcfnet-run --rebuild)"
            )


class Execution:
    """An execution context with its own scratch memory: TensorRT cannot allocate memory during graph capture."""

    def __init__(self, device: Any, name: str, flavour: Flavour, engine: Any, input_dtype: Any) -> None:
        """input_dtype: of the patches. Raises EngineError if a context cannot be created."""
        self._device, self._name, self._context = device, name, _context(flavour.module, engine)
        if self._context is None:
            raise EngineError(f"{name}: no GPU memory for an execution context: {flavour.errors()}")
        self._input_dtype = input_dtype
        self._scratch = device.empty((1,), np.uint8)
        self._shape: tuple[int, ...] = ()
        self._capturable: bool | None = None

    def run(self, patches: Array) -> Array:
        """Queues the features of patches (B, 3, S, S) on the device or the host. Raises EngineError."""
        self.prepare(tuple(patches.shape))
        device, context, inputs = self._device, self._context, self._as_input(patches)
        features = device.empty(tuple(context.get_tensor_shape("features")))
        context.set_tensor_address("patches", device.address(inputs))
        context.set_tensor_address("features", device.address(features))
        if not context.execute_async_v3(device.stream):
            raise EngineError(f"{self._name}: the engine did not run on patches {tuple(patches.shape)}")
        return features

    def _as_input(self, patches: Array) -> Array:
        """The patches on the device, with the engine's dtype, contiguous and aligned; a copy only if necessary."""
        on_device = not isinstance(patches, np.ndarray)
        usable = on_device and patches.dtype == self._input_dtype and patches.flags.c_contiguous
        if usable and self._device.address(patches) % ALIGNMENT == 0:
            return patches
        copy = self._device.empty(tuple(patches.shape), self._input_dtype)
        self._device.copy(patches, copy)
        return copy

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Sets the input shape and the scratch memory. Does nothing if the shape is the same as before."""
        if shape == self._shape:
            return
        self._context.set_input_shape("patches", shape)
        size = int(self._context.update_device_memory_size_for_shapes())
        if size > len(self._scratch):
            self._scratch = self._device.empty((size,), np.uint8)
        self._context.set_device_memory(self._device.address(self._scratch), len(self._scratch))
        self._shape = shape

    def capturable(self) -> bool:
        """Whether a run with the prepared shape can be captured on the current stream."""
        if self._capturable is None:
            check = getattr(self._context, "is_stream_capturable", None)  # TensorRT-RTX only; TensorRT always is
            self._capturable = check is None or bool(check(self._device.stream))
        return self._capturable


class CaptureExecutions(CaptureBackbone):
    """An engine for one captured program. Each call of the program has its own execution context.

    TensorRT forbids any other use of a context after a graph was captured from it, also with another shape.
    """

    def __init__(self, device: Any, create: Callable[[], Execution], max_batch: int) -> None:
        """create: returns a new execution. max_batch: patches per run."""
        self._device, self._create, self._max_batch = device, create, max_batch
        self._executions: list[Execution] = []
        self._next_index = 0

    def begin(self) -> None:
        """Starts the program again. Its calls have the same order and the same shapes each time."""
        self._next_index = 0

    def __call__(self, patches: Array) -> Array | None:
        """Queues the features of patches on the device. None if this cannot be captured."""
        features = []
        for part in _split(patches, self._max_batch):
            execution = self._next()
            execution.prepare(tuple(part.shape))
            if not execution.capturable():
                return None
            features.append(execution.run(part))
        return self._device.concatenate(features)

    def _next(self) -> Execution:
        if self._next_index == len(self._executions):
            self._executions.append(self._create())
        self._next_index += 1
        return self._executions[self._next_index - 1]


def _split(patches: Array, max_batch: int) -> list[Array]:
    """The patches in parts of at most `max_batch`."""
    return [patches[first : first + max_batch] for first in range(0, len(patches), max_batch)]


def _context(trt: Any, engine: Any) -> Any:
    """A context for which the caller provides the memory. None if it cannot be created.

    TensorRT-RTX compiles the kernels for a shape in its first run (EAGER). It cannot compile during graph capture.
    """
    user_managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        return engine.create_execution_context(user_managed)
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(user_managed)
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    return engine.create_execution_context(config)


def _open_device(name: str) -> Any:
    """The GPU. Raises DeviceError that names the missing part and the model that runs without a GPU."""
    try:
        from dcfnet.devices.cuda.device import CudaDevice

        return CudaDevice()
    except (MissingDependencyError, DeviceError) as error:
        raise DeviceError(
            f"{name}: an engine needs an NVIDIA GPU, and none can be used here: {error}. Without a GPU, use "
            f"{name}.onnx, the model next to it"
        ) from error
