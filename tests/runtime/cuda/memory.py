"""The stand-in's memory, streams and graphs.

Memory comes from a pool like CuPy's. Freed memory is reused at once by the next allocation of the same size on the same
stream, so a program that reads freed memory reads another program's values. During a capture no step is executed,
nothing may wait, and only memory that is free in the pool is available. A graph uses the same addresses at every
launch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np

UNIT = 512  # bytes: CuPy's pool allocates multiples of it
STREAM_HANDLES = itertools.count(1000)
Step = Callable[[], Any]


class CudaError(RuntimeError):
    """Replaces CUDARuntimeError."""


class NoMemoryError(MemoryError):
    """Replaces OutOfMemoryError."""


def alias(array: np.ndarray) -> np.ndarray:
    """The same bytes as another array, without a reference that would keep them from being freed."""
    return np.asarray(SimpleNamespace(__array_interface__=dict(array.__array_interface__)))


class Pool:
    """Replaces MemoryPool. Chunks are never returned to the host: a late read gives wrong values but no crash.

    As in CuPy, a pool without memory returns its free blocks to the device and tries again. A graph that uses such a
    block fails at its next launch.
    """

    def __init__(self, state: Any) -> None:
        self._state = state
        self._lock = Lock()  # tests use several trackers on several threads
        self._free: dict[tuple[int, int], list[np.ndarray]] = {}

    def malloc(self, size: int) -> Block:
        state, rounded = self._state, max(-(-size // UNIT), 1) * UNIT
        with self._lock:
            free = self._free.setdefault((state.stream, rounded), [])
            if not free:
                state.refuse_while_capturing("cudaMalloc")
                if rounded > state.bytes_left:
                    self._free_all_blocks()
                if rounded > state.bytes_left:
                    raise NoMemoryError(f"Out of memory allocating {rounded} bytes")
                state.bytes_left -= rounded
                state.chunks.append(np.empty(rounded + UNIT, np.uint8))
                start = -state.chunks[-1].ctypes.data % UNIT  # aligned like CUDA's memory
                free.append(state.chunks[-1][start : start + rounded])
            state.allocations += 1
            chunk = free.pop()
            if state.captured_steps is not None:
                state.captured_blocks.add(chunk.ctypes.data)
            return Block(chunk, free)

    def _free_all_blocks(self) -> None:
        for chunks in self._free.values():
            self._state.bytes_left += sum(chunk.size for chunk in chunks)
            self._state.returned_blocks.update(chunk.ctypes.data for chunk in chunks)
            chunks.clear()


class Block:
    """Part of a pool. It returns to the pool's free list when nothing refers to it."""

    def __init__(self, chunk: np.ndarray, free: list[np.ndarray]) -> None:
        self.__array_interface__ = dict(chunk.__array_interface__)
        self._chunk, self._free = chunk, free

    def __del__(self) -> None:
        self._free.append(self._chunk)


class Graph:
    """Replaces cupy.cuda.Graph."""

    def __init__(self, state: Any, steps: list[Step], blocks: set[int]) -> None:
        """blocks: addresses of the memory that was allocated during the capture."""
        self._state, self.steps, self._blocks = state, steps, blocks

    def launch(self, stream: Any = None) -> None:
        self._state.refuse_while_capturing("cudaGraphLaunch")
        assert not self._blocks & self._state.returned_blocks, "the graph uses memory that its pool has returned"
        self._state.launched.append(self)
        for step in self.steps:
            step()


class Stream:
    """Replaces cupy.cuda.Stream. number: handle of an existing stream; None creates a stream."""

    def __init__(self, state: Any, non_blocking: bool = False, number: int | None = None) -> None:
        self._state, self.non_blocking = state, non_blocking
        self.ptr = next(STREAM_HANDLES) if number is None else number
        self._previous: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __enter__(self) -> Stream:
        self._previous.append(self._state.stream)
        self._state.stream = self.ptr
        return self

    def __exit__(self, *_: object) -> None:
        self._state.stream = self._previous.pop()

    def synchronize(self) -> None:
        if self.ptr == self._state.capturing:  # the host may wait for other streams
            self._state.refuse_while_capturing("cudaStreamSynchronize")
        self._state.copies.wait(self.ptr, self._state.copies.number)

    def begin_capture(self) -> None:
        if not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self._state.captured_steps is None
        self._state.captured_steps, self._state.invalidated, self._state.capturing = [], False, self.ptr
        self._state.captured_blocks = set()

    def end_capture(self) -> Graph:
        steps = self._state.captured_steps
        self._state.captured_steps = self._state.capturing = None
        if self._state.invalidated:
            raise CudaError("cudaErrorStreamCaptureInvalidated")
        return Graph(self._state, steps, self._state.captured_blocks)
