"""The stand-in's copies between host and device: pinned memory, events, and asynchronous copies.

Work that is queued after an upload sees the new values. The host must not write to the source before it has waited for
the copy, because a real copy might read the new bytes. The stand-in checks this when the host waits.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np

UNIT = 512  # bytes: CuPy's pool allocates pinned memory in multiples of it
PAGEABLE, HOST, DEVICE = 0, 1, 2  # cudaMemoryType
UNWRITTEN = 0xA5  # value of each byte of pinned memory before the host has waited for a copy to it


@dataclass(eq=False)
class Upload:
    """A copy from `source` for which the host has not waited. content: the bytes of `source` when it was queued."""

    stream: int
    number: int
    source: np.ndarray
    content: np.ndarray


@dataclass(eq=False)
class Download:
    """A copy of `content` to the host address `to`, for which the host has not waited."""

    stream: int
    number: int
    to: int
    content: np.ndarray


class Copies:
    """Pinned memory and copies of one stand-in. state: its state. bytes: of all uploads. number: of the last copy."""

    def __init__(self, state: Any) -> None:
        self.state, self.bytes, self.number = state, 0, 0
        self.pinned: list[np.ndarray] = []
        self.queued: list[Upload] = []
        self._downloads: list[Download] = []
        self._lock = RLock()  # tests use several threads; a finalizer may wait for a stream during a copy

    def alloc_pinned_memory(self, size: int) -> bytearray:
        """New pinned memory. It is never freed, so that no other object gets its addresses."""
        memory = bytearray(bytes([UNWRITTEN]) * (-(-size // UNIT) * UNIT))
        self.pinned.append(np.frombuffer(memory, np.uint8))
        return memory

    def kind_of(self, address: int) -> int:
        """cudaMemoryType of an address."""
        for memory in self.pinned:
            if memory.ctypes.data <= address < memory.ctypes.data + memory.size:
                return HOST
        return DEVICE if self.state.is_allocated(address, 1) else PAGEABLE

    def memcpy2DAsync(  # noqa: N802  # CuPy's name
        self, to: int, pitch: int, start: int, source_pitch: int, width: int, height: int, kind: int, stream: int
    ) -> None:
        """Copies rows from pinned memory to the device."""
        self.state.refuse_while_capturing("a copy from the host")
        assert kind == 1, "the copy must be to the device"
        assert 0 < width <= min(pitch, source_pitch)
        assert height > 0
        last = start + (height - 1) * source_pitch + width - 1
        assert {self.kind_of(start), self.kind_of(last)} == {HOST}, "a copy from pageable memory is not asynchronous"
        assert self.state.is_allocated(to, (height - 1) * pitch + width), "the copy exceeds the allocated memory"
        source = _rows_at(start, source_pitch, width, height)
        _rows_at(to, pitch, width, height)[...] = source
        self.queue(source, stream)

    def memcpyAsync(self, to: int, start: int, size: int, kind: int, stream: int) -> None:  # noqa: N802  # CuPy's name
        """Copies between pinned memory and the device, also as part of a graph.

        Pinned memory gets the values when the host waits.
        """
        assert kind in (1, 2)
        host, device = (start, to) if kind == 1 else (to, start)
        kinds = {self.kind_of(host), self.kind_of(host + size - 1)}
        assert kinds == {HOST}, "a copy from or to pageable memory is not asynchronous"
        assert self.state.is_allocated(device, size), "the copy exceeds the allocated memory"
        assert stream == self.state.stream, "the copy is not on the current stream"
        self.state.do(lambda: self._copy(to, start, size, kind))

    def _copy(self, to: int, start: int, size: int, kind: int) -> None:
        """Executes a copy on the current stream, which for a graph is that of its launch."""
        source, target = _bytes_at(start, size), _bytes_at(to, size)
        if kind == 1:
            target[...] = source
            self.queue(source, self.state.stream)
            return
        with self._lock:
            self.number += 1
            self._downloads.append(Download(self.state.stream, self.number, to, source.copy()))
            target[...] = UNWRITTEN

    def queue(self, source: np.ndarray, stream: int) -> None:
        """Records an upload, so that later changes of its source are found."""
        with self._lock:
            self.number += 1
            self.bytes += source.nbytes
            self.queued.append(Upload(stream, self.number, source, source.copy()))

    def wait(self, stream: int, number: int) -> None:
        """The host waits for the copies of a stream up to this number. Fails if the source of an upload has changed."""
        with self._lock:
            for download in [copy for copy in self._downloads if copy.stream == stream and copy.number <= number]:
                _bytes_at(download.to, len(download.content))[...] = download.content
                self._downloads.remove(download)
            complete = [copy for copy in self.queued if copy.stream == stream and copy.number <= number]
            self.queued = [copy for copy in self.queued if copy not in complete]
            for copy in complete:
                assert np.array_equal(copy.source, copy.content), "pinned memory was written during a copy from it"

    def finish(self) -> None:
        """Waits for all copies."""
        for stream in {copy.stream for copy in (*self.queued, *self._downloads)}:
            self.wait(stream, self.number)

    def Event(self, block: bool = False, disable_timing: bool = False) -> Event:  # noqa: N802  # CuPy's name
        return Event(self)


class Event:
    """Replaces cupy.cuda.Event. Copies are complete when the host has waited for them."""

    def __init__(self, copies: Copies) -> None:
        self._copies, self._recorded = copies, (0, 0)

    def record(self) -> None:
        self._recorded = (self._copies.state.stream, self._copies.number)

    def synchronize(self) -> None:
        self._copies.state.refuse_while_capturing("cudaEventSynchronize")
        self._copies.wait(*self._recorded)


def _bytes_at(start: int, size: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(start))


def _rows_at(start: int, pitch: int, width: int, height: int) -> np.ndarray:
    memory = _bytes_at(start, (height - 1) * pitch + width)
    return np.lib.stride_tricks.as_strided(memory, (height, width), (pitch, 1))
