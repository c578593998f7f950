"""The stand-in refuses what CuPy and CUDA refuse. tests/with_cupy compares it with CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.memory import CudaError


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
