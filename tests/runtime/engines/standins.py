"""Stand-ins for what a GPU is needed for: a device whose memory is the host's, and TensorRT on ONNX Runtime.

The classes have exactly the attributes of TensorRT-RTX's own that the runner uses, and are made with `spec` from them,
so that a call that the real ones do not have fails here, too.
"""

from __future__ import annotations

import ctypes
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

    def empty(self, shape: tuple[int, ...]) -> Any:
        raw = np.empty(int(np.prod(shape)) * 4 + ALIGNED, dtype=np.uint8)
        self.held.append(raw)  # an address must stay valid
        start = -raw.ctypes.data % ALIGNED
        return raw[start : start + int(np.prod(shape)) * 4].view(np.float32).reshape(shape)

    def copy(self, values: Any, to: Any) -> None:
        to[...] = values

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def joined(self, arrays: list[Any]) -> Any:
        return np.concatenate(arrays)

    def to_host(self, array: Any) -> Any:
        return array.copy()


def standin(real: Flavour, onnx: bytes, **wrong: Any) -> Flavour:
    """TensorRT whose engines compute the graph `onnx`, on memory by its address. wrong: what is to go wrong."""
    trt = real.module
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    shapes: dict[str, tuple[int, ...]] = {}
    addresses: dict[str, int] = {}

    def features(name: str) -> tuple[int, ...]:
        batch, _, height, width = shapes["patches"]
        stride = wrong.get("stride", 2)
        return (batch, 32, height // stride, width // stride)

    def execute(stream: int) -> bool:
        assert stream == HostDevice.stream
        assert not any(address % ALIGNED for address in addresses.values())
        given = _at(addresses["patches"], shapes["patches"])
        made = session.run(["features"], {"patches": given})[0]
        _at(addresses["features"], made.shape)[...] = made
        return bool(wrong.get("runs", True))

    context = Mock(spec=trt.IExecutionContext)
    context.set_input_shape.side_effect = shapes.__setitem__
    context.set_tensor_address.side_effect = addresses.__setitem__
    context.get_tensor_shape.side_effect = features
    context.execute_async_v3.side_effect = execute
    names = wrong.get("names", ("patches", "features"))
    engine = Mock(spec=trt.ICudaEngine, num_io_tensors=len(names))
    engine.get_tensor_name.side_effect = names.__getitem__
    engine.get_tensor_dtype.return_value = trt.float32
    engine.get_tensor_shape.side_effect = lambda name: (-1, 3 if name == "patches" else 32, -1, -1)
    engine.create_execution_context.return_value = wrong.get("context", context)
    runtime = Mock(spec=trt.Runtime)
    runtime.deserialize_cuda_engine.return_value = engine
    module = SimpleNamespace(Runtime=Mock(return_value=runtime), runtime=runtime)
    return Flavour(real.name, real.version, module, real.journal)


def _at(address: int, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape))
    return np.frombuffer((ctypes.c_float * size).from_address(address), dtype=np.float32).reshape(shape)
