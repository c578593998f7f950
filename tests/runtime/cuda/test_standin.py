"""The stand-in: it has no names that CuPy lacks (needs CuPy, but no GPU), and it refuses what CuPy and CUDA refuse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import CudaError, Graph, Pool, Stream
from tests.runtime.cuda.standin import ndarray, standin

OWN_NAMES = {"state"}  # names that CuPy does not have


def names(module: Any) -> list[str]:
    """The dotted names of all functions, classes and values of the stand-in."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("__") or name in OWN_NAMES:
            continue
        found += [f"{name}.{inner}" for inner in names(value)] if isinstance(value, SimpleNamespace) else [name]
    return found


def has(module: Any, name: str) -> bool:
    """Whether the module has a dotted name. True if the name needs a CUDA library that is not installed."""
    try:
        for part in name.split("."):
            module = getattr(module, part)
    except AttributeError:
        return False
    except ImportError:
        return True
    return True


def test_cupy_has_all_names_of_the_standin(host_kernels: HostKernels) -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)
    missing = [name for name in names(standin(host_kernels)) if not has(cupy, name)]
    assert missing == []
    defined = {name for name in dir(ndarray) if not hasattr(object, name)}
    of_all_classes = {"__dict__", "__module__", "__weakref__", "__annotations__"}
    assert defined - set(dir(cupy.ndarray)) - of_all_classes == set()
    assert {"shape", "dtype", "ndim", "strides", "data", "flags"} <= set(dir(cupy.ndarray))
    assert hasattr(cupy.RawModule, "compile")
    assert hasattr(cupy.RawModule, "get_function")
    for ours, theirs in ((Stream, cupy.cuda.Stream), (Graph, cupy.cuda.Graph), (Pool, cupy.cuda.MemoryPool)):
        methods = {name for name, value in vars(ours).items() if callable(value) and not hasattr(object, name)}
        assert methods - set(dir(theirs)) == set()
    assert {"begin_capture", "end_capture", "synchronize"} <= set(dir(cupy.cuda.Stream))


def test_arrays_refuse_the_operations_that_cupy_refuses(fake: Any) -> None:
    device, host = fake.asarray(np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32)
    for mixed in (lambda: device + host, lambda: host * device, lambda: host / device[0]):
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(device)
    with pytest.raises(AttributeError):
        device.ptp()


def test_a_graph_uses_the_same_memory_at_every_launch(fake: Any) -> None:
    """The capture itself executes nothing. Each launch sees the present values."""
    values, copy = fake.asarray(np.ones(4, np.float32)), fake.zeros((4,), np.float32)
    pool = fake.cuda.MemoryPool()
    stream = fake.cuda.Stream(non_blocking=True)
    with fake.cuda.using_allocator(pool.malloc), stream:
        (values * 2.0 + 1.0).sum()  # fills the pool
        stream.begin_capture()
        result = values * 2.0 + 1.0
        copy[1:3] = result[1:3]
        total = result.sum()
        graph = stream.end_capture()
    assert not fake.asnumpy(copy).any()
    for value in (1.0, 5.0):
        values[...] = value
        graph.launch()
        np.testing.assert_array_equal(fake.asnumpy(copy), [0, 2 * value + 1, 2 * value + 1, 0])
        assert fake.asnumpy(total) == 4 * (2 * value + 1)


def test_memory_that_a_graph_freed_is_used_again(fake: Any) -> None:
    """Otherwise no test would find a program that reads freed memory."""
    values, stream = fake.asarray(np.ones(4, np.float32)), fake.cuda.Stream(non_blocking=True)
    with fake.cuda.using_allocator(fake.cuda.MemoryPool().malloc), stream:
        values * 3.0
        stream.begin_capture()
        address = (values * 3.0).data.ptr
        graph = stream.end_capture()
        other = fake.zeros((4,), np.float32)
        assert other.data.ptr == address
        graph.launch()
    assert (fake.asnumpy(other) == 3).all()


def test_a_copy_to_the_host_is_complete_after_a_wait(fake: Any) -> None:
    values, kind = fake.asarray(np.arange(4, dtype=np.float32)), fake.cuda.runtime.memcpyDeviceToHost
    found = np.frombuffer(fake.cuda.alloc_pinned_memory(16), np.float32, 4)
    fake.cuda.runtime.memcpyAsync(found.ctypes.data, values.data.ptr, 16, kind, 0)
    assert not np.array_equal(found, [0, 1, 2, 3])
    fake.cuda.get_current_stream().synchronize()
    np.testing.assert_array_equal(found, [0, 1, 2, 3])
    with pytest.raises(AssertionError, match="pageable"):
        fake.cuda.runtime.memcpyAsync(np.empty(4, np.float32).ctypes.data, values.data.ptr, 16, kind, 0)


def test_a_capture_refuses_the_operations_that_cuda_refuses(fake: Any) -> None:
    values, host = fake.asarray(np.ones(4, np.float32)), np.ones(4, np.float32)
    for refused in (
        lambda stream: fake.asarray(host),
        lambda stream: fake.asnumpy(values),
        lambda stream: values[np.array([1, 2])],
        lambda stream: np.concatenate([values, values]),
        lambda stream: fake.empty((1 << 20,), np.float32),
        lambda stream: stream.synchronize(),
        lambda stream: fake.cuda.Event().synchronize(),
    ):
        stream = fake.cuda.Stream(non_blocking=True)
        stream.begin_capture()
        with pytest.raises(CudaError, match="cudaErrorStreamCaptureUnsupported"):
            refused(stream)
        with pytest.raises(CudaError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()
    with pytest.raises(RuntimeError, match="default"):
        fake.cuda.get_current_stream().begin_capture()
