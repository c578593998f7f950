"""The stand-in's memory, streams and graphs.

Memory is CuPy's pool: what is freed is taken at once by who asks for as much on the same stream, so that whoever still
reads it reads what another wrote. While a stream captures, nothing that is queued on it is done, nothing may wait, and
there is no memory but what the pool has; what was recorded is done upon the very same bytes whenever it is launched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np

UNIT = 512  # of CuPy's pool
NUMBERS = itertools.count(1000)
Step = Callable[[], Any]


class CudaError(RuntimeError):
    """In place of CUDARuntimeError."""


class NoMemoryError(MemoryError):
    """In place of OutOfMemoryError."""


def alias(held: np.ndarray) -> np.ndarray:
    """The same bytes, which this does not keep from being freed."""
    return np.asarray(SimpleNamespace(__array_interface__=dict(held.__array_interface__)))


class Pool:
    """In place of MemoryPool. Chunks stay for good, so that what is read too late is wrong and no crash."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._turn = Lock()  # several trackers on several threads
        self._free: dict[tuple[int, int], list[np.ndarray]] = {}

    def malloc(self, size: int) -> Block:
        state, asked = self._state, max(-(-size // UNIT), 1) * UNIT
        with self._turn:
            free = self._free.setdefault((state.stream, asked), [])
            if not free:
                state.refuse_while_capturing("cudaMalloc")
                if asked > state.left:
                    raise NoMemoryError(f"Out of memory allocating {asked} bytes")
                state.left -= asked
                state.chunks.append(np.empty(asked + UNIT, np.uint8))
                start = -state.chunks[-1].ctypes.data % UNIT  # aligned as CUDA's memory is
                free.append(state.chunks[-1][start : start + asked])
            state.taken += 1
            return Block(free.pop(), free)


class Block:
    """A piece of a pool, which goes back there when nothing refers to it any more."""

    def __init__(self, chunk: np.ndarray, home: list[np.ndarray]) -> None:
        self.__array_interface__ = dict(chunk.__array_interface__)
        self._chunk, self._home = chunk, home

    def __del__(self) -> None:
        self._home.append(self._chunk)


class Graph:
    """In place of CuPy's."""

    def __init__(self, state: Any, steps: list[Step]) -> None:
        self._state, self.steps = state, steps

    def launch(self, stream: Any = None) -> None:
        self._state.refuse_while_capturing("cudaGraphLaunch")
        self._state.launched.append(self)
        for step in self.steps:
            step()


class Stream:
    """In place of CuPy's. number: of one that is there; none makes a new one."""

    def __init__(self, state: Any, non_blocking: bool = False, number: int | None = None) -> None:
        self._state, self.non_blocking = state, non_blocking
        self.ptr = next(NUMBERS) if number is None else number
        self._before: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __enter__(self) -> Stream:
        self._before.append(self._state.stream)
        self._state.stream = self.ptr
        return self

    def __exit__(self, *_: object) -> None:
        self._state.stream = self._before.pop()

    def synchronize(self) -> None:
        if self.ptr == self._state.capturing:  # streams that do not capture may be waited for
            self._state.refuse_while_capturing("cudaStreamSynchronize")
        self._state.copies.waited(self.ptr, self._state.copies.number)

    def begin_capture(self) -> None:
        if not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self._state.recording is None
        self._state.recording, self._state.spoilt, self._state.capturing = [], False, self.ptr

    def end_capture(self) -> Graph:
        steps, self._state.recording, self._state.capturing = self._state.recording, None, None
        if self._state.spoilt:
            raise CudaError("cudaErrorStreamCaptureInvalidated")
        return Graph(self._state, steps)
