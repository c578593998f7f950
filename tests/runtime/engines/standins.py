"""Stand-ins for what a GPU is needed for: a device whose memory is the host's, and TensorRT on ONNX Runtime.

The classes have exactly the attributes of TensorRT-RTX's own that the runner uses, and are made with `spec` from them,
so that a call that the real ones do not have fails here, too.
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

ALIGNED = 256  # bytes: what TensorRT asks of every address


@dataclass
class HostDevice:
    """The memory of `CudaDevice`, on the host."""

    compute_capability: str = "8.6"
    stream: int = 7
    held: list[Any] = field(default_factory=list)

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.empty(size + ALIGNED, dtype=np.uint8)
        self.held.append(raw)  # an address must stay valid
        start = -raw.ctypes.data % ALIGNED
        return raw[start : start + size].view(dtype).reshape(shape)

    def copy(self, values: Any, to: Any) -> None:
        to[...] = values

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def joined(self, arrays: list[Any]) -> Any:
        return np.concatenate(arrays)

    def to_host(self, array: Any) -> Any:
        return array.copy()


@dataclass
class Rules:
    """What TensorRT asks of a context that graphs are captured from, of the stream and of memory; broken, a test fails.

    do: queues a step, or records it. capturing: whether a graph is captured now. features: the graph's arithmetic.
    """

    features: Callable[[Any], Any]
    do: Callable[[Callable[[], None]], None] = lambda step: step()
    capturing: Callable[[], bool] = lambda: False
    streams: Callable[[], int] = lambda: HostDevice.stream
    capturable: bool = True
    runs: bool = True
    takes: type = np.float32
    stride: int = 2
    aligned: int = ALIGNED


class Context:
    """What a context does; a Mock of the real one's methods hands over to it."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.captured = rules, False
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch, self.fresh, self.runs = (0, 0), True, 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert not self.captured, "a context that a graph was captured from has another shape"
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
        assert self.scratch[1], "no memory was given"
        assert not (capturing and self.fresh), "the first run of a shape is none to be captured"
        assert capturing or not self.captured, "a context that a graph was captured from runs otherwise"
        if capturing:
            assert self.rules.capturable
            assert not self.captured, "a context is captured twice"
        self.captured, self.fresh, shape, places = capturing, False, self.shapes["patches"], dict(self.addresses)

        def compute() -> None:
            made = self.rules.features(_at(places["patches"], shape, self.rules.takes))
            _at(places["features"], made.shape, np.float32)[...] = made

        self.runs += 1
        self.rules.do(compute)
        return self.rules.runs


def standin(real: Flavour, onnx: bytes, rules: dict[str, Any] | None = None, **wrong: Any) -> Flavour:
    """TensorRT-RTX whose engines compute the graph `onnx`, on memory by its address. wrong: what is to go wrong.

    rules: others than those of `Rules`. plain: TensorRT, which has neither RTX's compilation nor its question.
    """
    trt, plain = real.module, wrong.get("plain", False)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def features(patches: Any) -> Any:
        return session.run(["features"], {"patches": patches})[0]

    half = session.get_inputs()[0].type == "tensor(float16)"
    takes = np.float16 if half else np.float32
    told = Rules(
        features, takes=takes, **{"runs": wrong.get("runs", True), "stride": wrong.get("stride", 2), **(rules or {})}
    )
    contexts: list[Context] = []

    def create(given: Any) -> Any:
        if "context" in wrong:
            return wrong["context"]
        assert given is (strategies.USER_MANAGED if plain else config)
        contexts.append(Context(told))
        names = [name for name in vars(Context) if not name.startswith("_") and not (plain and "capturable" in name)]
        made = Mock(spec=names if plain else trt.IExecutionContext)
        for name in names:
            getattr(made, name).side_effect = getattr(contexts[-1], name)
        return made

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
    module.ExecutionContextAllocationStrategy = strategies
    if not plain:
        module.DynamicShapesKernelSpecializationStrategy = trt.DynamicShapesKernelSpecializationStrategy
    return Flavour(real.name, real.version, module, real.journal)


def _at(address: int, shape: tuple[int, ...], dtype: type) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_ubyte * size).from_address(address), dtype=dtype).reshape(shape)
