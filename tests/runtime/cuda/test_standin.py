"""The stand-in against CuPy itself, where that is installed; no GPU is needed for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import CudaError, Graph, Pool, Stream
from tests.runtime.cuda.standin import ndarray, standin

OWN = {"state"}  # what only a stand-in has


def names(module: Any) -> list[str]:
    """Everything in the stand-in that code could ask CuPy for, by its dotted name."""
    found = []
    for name, value in vars(module).items():
        if name.startswith("__") or name in OWN:
            continue
        found += [f"{name}.{inner}" for inner in names(value)] if isinstance(value, SimpleNamespace) else [name]
    return found


def has(module: Any, name: str) -> bool:
    """Whether it has what the dotted name says; of a library of CUDA that is not installed nobody knows."""
    try:
        for part in name.split("."):
            module = getattr(module, part)
    except AttributeError:
        return False
    except ImportError:
        return True
    return True


def test_cupy_has_what_the_standin_has(host_kernels: HostKernels) -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)
    missing = [name for name in names(standin(host_kernels)) if not has(cupy, name)]
    assert missing == []
    kept = {name for name in dir(ndarray) if not hasattr(object, name)}
    of_instances = {"__dict__", "__module__", "__weakref__", "__annotations__"}
    assert kept - set(dir(cupy.ndarray)) - of_instances == set()
    assert {"shape", "dtype", "ndim", "strides", "data", "flags"} <= set(dir(cupy.ndarray))
    assert hasattr(cupy.RawModule, "compile")
    assert hasattr(cupy.RawModule, "get_function")
    for ours, theirs in ((Stream, cupy.cuda.Stream), (Graph, cupy.cuda.Graph), (Pool, cupy.cuda.MemoryPool)):
        methods = {name for name, value in vars(ours).items() if callable(value) and not hasattr(object, name)}
        assert methods - set(dir(theirs)) == set()
    assert {"begin_capture", "end_capture", "synchronize"} <= set(dir(cupy.cuda.Stream))


def test_the_standin_refuses_what_cupy_refuses(fake: Any) -> None:
    away, host = fake.asarray(np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32)
    for mixed in (lambda: away + host, lambda: host * away, lambda: host / away[0]):
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(away)
    with pytest.raises(AttributeError):
        away.ptp()


def test_a_captured_graph_is_done_upon_the_same_bytes_whenever_it_is_launched(fake: Any) -> None:
    """Not while it is captured, and with whatever was queued in between."""
    given, kept = fake.asarray(np.ones(4, np.float32)), fake.zeros((4,), np.float32)
    pool = fake.cuda.MemoryPool()
    stream = fake.cuda.Stream(non_blocking=True)
    with fake.cuda.using_allocator(pool.malloc), stream:
        (given * 2.0 + 1.0).sum()  # lays memory in
        stream.begin_capture()
        made = given * 2.0 + 1.0
        kept[1:3] = made[1:3]
        total = made.sum()
        graph = stream.end_capture()
    assert not fake.asnumpy(kept).any()
    for value in (1.0, 5.0):
        given[...] = value
        graph.launch()
        np.testing.assert_array_equal(fake.asnumpy(kept), [0, 2 * value + 1, 2 * value + 1, 0])
        assert fake.asnumpy(total) == 4 * (2 * value + 1)


def test_what_a_graph_has_freed_is_taken_by_others(fake: Any) -> None:
    """Else no test would see a program read what is not its own any more."""
    given, stream = fake.asarray(np.ones(4, np.float32)), fake.cuda.Stream(non_blocking=True)
    with fake.cuda.using_allocator(fake.cuda.MemoryPool().malloc), stream:
        given * 3.0
        stream.begin_capture()
        address = (given * 3.0).data.ptr
        graph = stream.end_capture()
        other = fake.zeros((4,), np.float32)
        assert other.data.ptr == address
        graph.launch()
    assert (fake.asnumpy(other) == 3).all()


def test_what_is_fetched_is_there_once_it_has_been_waited_for(fake: Any) -> None:
    given, kind = fake.asarray(np.arange(4, dtype=np.float32)), fake.cuda.runtime.memcpyDeviceToHost
    found = np.frombuffer(fake.cuda.alloc_pinned_memory(16), np.float32, 4)
    fake.cuda.runtime.memcpyAsync(found.ctypes.data, given.data.ptr, 16, kind, 0)
    assert not np.array_equal(found, [0, 1, 2, 3])
    fake.cuda.get_current_stream().synchronize()
    np.testing.assert_array_equal(found, [0, 1, 2, 3])
    with pytest.raises(AssertionError, match="pageable"):
        fake.cuda.runtime.memcpyAsync(np.empty(4, np.float32).ctypes.data, given.data.ptr, 16, kind, 0)


def test_a_capture_refuses_what_cuda_refuses(fake: Any) -> None:
    given, host = fake.asarray(np.ones(4, np.float32)), np.ones(4, np.float32)
    for refused in (
        lambda stream: fake.asarray(host),
        lambda stream: fake.asnumpy(given),
        lambda stream: given[np.array([1, 2])],
        lambda stream: np.concatenate([given, given]),
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
