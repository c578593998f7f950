"""Stand-ins for a GPU: a device with host memory, and TensorRT on ONNX Runtime.

The mocks have the `spec` of the real TensorRT-RTX classes, so that a call of a method that does not exist fails.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import onnxruntime
from dcfnet.engines.flavour import Flavour

ALIGNMENT = 256  # bytes: TensorRT requires it of each address


@dataclass
class HostDevice:
    """The memory functions of `CudaDevice`, on the host."""

    compute_capability: str = "8.6"
    stream: int = 7
    buffers: list[Any] = field(default_factory=list)

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
        self.buffers.append(raw)  # addresses must stay valid
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + size].view(dtype).reshape(shape)

    def copy(self, values: Any, to: Any) -> None:
        to[...] = values

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def concatenate(self, arrays: list[Any]) -> Any:
        return np.concatenate(arrays)

    def to_host(self, array: Any) -> Any:
        return array.copy()


@dataclass
class Rules:
    """TensorRT's rules for contexts, streams and memory. A test fails if one is violated.

    features: computes the graph. do: runs, queues or records a step. capturing: whether a graph is being captured.
    streams: returns the expected stream. runs: result of a run. aligned: required alignment, bytes.
    """

    features: Callable[[Any], Any]
    do: Callable[[Callable[[], None]], None] = lambda step: step()
    capturing: Callable[[], bool] = lambda: False
    streams: Callable[[], int] = lambda: HostDevice.stream
    capturable: bool = True
    runs: bool = True
    input_dtype: type = np.float32
    stride: int = 2
    aligned: int = ALIGNMENT


class Context:
    """The behaviour of an execution context. A mock of the real class calls it."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.captured = rules, False
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch, self.fresh, self.runs = (0, 0), True, 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert not self.captured, "the shape of a context changed after a capture from it"
        self.shapes[name], self.fresh = shape, True

    def update_device_memory_size_for_shapes(self) -> int:
        return 1000 * self.shapes["patches"][0]

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= self.update_device_memory_size_for_shapes()
        self.scratch = (address, size)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch, _, height, width = self.shapes["patches"]
        return (batch, 32, height // self.rules.stride, width // self.rules.stride)

    def is_stream_capturable(self, stream: int) -> bool:
        return self.rules.capturable

    def execute_async_v3(self, stream: int) -> bool:
        capturing = self.rules.capturing()
        assert stream == self.rules.streams()
        assert not any(address % self.rules.aligned for address in (*self.addresses.values(), self.scratch[0]))
        assert self.scratch[1], "no device memory was set"
        assert not (capturing and self.fresh), "the first run of a shape was captured"
        assert capturing or not self.captured, "a context ran outside a capture after a capture from it"
        if capturing:
            assert self.rules.capturable
            assert not self.captured, "a context was captured twice"
        self.captured, self.fresh, shape, addresses = capturing, False, self.shapes["patches"], dict(self.addresses)

        def compute() -> None:
            features = self.rules.features(_array_at(addresses["patches"], shape, self.rules.input_dtype))
            _array_at(addresses["features"], features.shape, np.float32)[...] = features

        self.runs += 1
        self.rules.do(compute)
        return self.rules.runs


def standin(real: Flavour, onnx: bytes, rules: dict[str, Any] | None = None, **wrong: Any) -> Flavour:
    """A TensorRT-RTX whose engines compute the graph `onnx` on memory addresses.

    rules: fields of `Rules` to change. wrong: faults to simulate. With plain=True it is TensorRT, which has neither the
    compilation strategies nor `is_stream_capturable` of TensorRT-RTX.
    """
    trt, plain = real.module, wrong.get("plain", False)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def features(patches: Any) -> Any:
        return session.run(["features"], {"patches": patches})[0]

    half = session.get_inputs()[0].type == "tensor(float16)"
    input_dtype = np.float16 if half else np.float32
    all_rules = Rules(
        features,
        input_dtype=input_dtype,
        **{"runs": wrong.get("runs", True), "stride": wrong.get("stride", 2), **(rules or {})},
    )
    contexts: list[Context] = []

    def create(argument: Any) -> Any:
        if "context" in wrong:
            return wrong["context"]
        assert argument is (strategies.USER_MANAGED if plain else config)
        contexts.append(Context(all_rules))
        names = [name for name in vars(Context) if not name.startswith("_") and not (plain and "capturable" in name)]
        context = Mock(spec=names if plain else trt.IExecutionContext)
        for name in names:
            getattr(context, name).side_effect = getattr(contexts[-1], name)
        return context

    strategies, config = trt.ExecutionContextAllocationStrategy, Mock(spec=trt.IRuntimeConfig)
    names = wrong.get("names", ("patches", "features"))
    engine = Mock(spec=trt.ICudaEngine, num_io_tensors=len(names))
    engine.get_tensor_name.side_effect = names.__getitem__
    engine.get_tensor_dtype.side_effect = lambda name: trt.float16 if half and name == "patches" else trt.float32
    engine.get_tensor_shape.side_effect = lambda name: (-1, 3 if name == "patches" else 32, -1, -1)
    engine.create_runtime_config.return_value = config
    engine.create_execution_context.side_effect = create
    runtime = Mock(spec=trt.Runtime)
    runtime.deserialize_cuda_engine.return_value = engine
    module = SimpleNamespace(Runtime=Mock(return_value=runtime), runtime=runtime, contexts=contexts, config=config)
    module.ExecutionContextAllocationStrategy, module.ComputeCapability = strategies, trt.ComputeCapability
    if not plain:
        module.DynamicShapesKernelSpecializationStrategy = trt.DynamicShapesKernelSpecializationStrategy
    return Flavour(real.name, real.version, module, real.log)


def _array_at(address: int, shape: tuple[int, ...], dtype: type) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_ubyte * size).from_address(address), dtype=dtype).reshape(shape)
