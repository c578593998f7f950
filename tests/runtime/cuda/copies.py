"""The stand-in's copies from and to the host: pinned memory, events, and copies that run until the host has waited.

What a copy brings is there for whatever is queued behind it. Where the host has not waited for it, its source must stay
as it is: writing it is refused when the host comes to wait, as a real copy might have taken the new bytes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np

UNIT = 512  # CuPy's pool gives pinned memory in multiples of it
PAGEABLE, HOST, DEVICE = 0, 1, 2  # cudaMemoryType


@dataclass(eq=False)
class Queued:
    """A copy that the host has not waited for."""

    stream: int
    number: int
    source: np.ndarray
    was: np.ndarray


class Copies:
    """Pinned memory and the copies of one stand-in. state: the stand-in's. bytes: queued, in all."""

    def __init__(self, state: Any) -> None:
        self.state, self.bytes, self.number = state, 0, 0
        self.pinned: list[np.ndarray] = []
        self.queued: list[Queued] = []
        self.fetched: list[tuple[int, int, int, np.ndarray]] = []  # stream, number, address, what will be there
        self._turn = RLock()  # tests run several trackers on several threads; what is freed may wait amid a copy

    def alloc_pinned_memory(self, size: int) -> bytearray:
        """Kept for good, so that its addresses become nobody else's."""
        memory = bytearray(b"\xa5" * (-(-size // UNIT) * UNIT))
        self.pinned.append(np.frombuffer(memory, np.uint8))
        return memory

    def kind_of(self, address: int) -> int:
        """cudaMemoryType of an address."""
        for memory in self.pinned:
            if memory.ctypes.data <= address < memory.ctypes.data + memory.size:
                return HOST
        return DEVICE if self.state.holds(address, 1) else PAGEABLE

    def memcpy2DAsync(  # noqa: N802  # CuPy's name
        self, to: int, pitch: int, start: int, source_pitch: int, width: int, height: int, kind: int, stream: int
    ) -> None:
        self.state.refuse_while_capturing("a copy from the host")
        assert kind == 1, "only to the device"
        assert 0 < width <= min(pitch, source_pitch)
        assert height > 0
        last = start + (height - 1) * source_pitch + width - 1
        assert {self.kind_of(start), self.kind_of(last)} == {HOST}, "from pageable memory a copy waits"
        assert self.state.holds(to, (height - 1) * pitch + width), "beyond what was allocated"
        source = _rows(start, source_pitch, width, height)
        _rows(to, pitch, width, height)[...] = source
        self.queue(source, stream)

    def memcpyAsync(self, to: int, start: int, size: int, kind: int, stream: int) -> None:  # noqa: N802  # CuPy's name
        """To pinned memory, which holds nothing of it before the host has waited."""
        self.state.refuse_while_capturing("a copy to the host")
        assert kind == 2, "only to the host"
        assert {self.kind_of(to), self.kind_of(to + size - 1)} == {HOST}, "to pageable memory a copy waits"
        assert self.state.holds(start, size), "beyond what was allocated"
        with self._turn:
            self.number += 1
            self.fetched.append((stream, self.number, to, _rows(start, size, size, 1)[0].copy()))
            _rows(to, size, size, 1)[...] = 0xA5

    def queue(self, source: np.ndarray, stream: int) -> None:
        with self._turn:
            self.number += 1
            self.bytes += source.nbytes
            self.queued.append(Queued(stream, self.number, source, source.copy()))

    def waited(self, stream: int, number: int) -> None:
        """The host has waited for what was queued in the stream up to this copy."""
        with self._turn:
            for fetched in [each for each in self.fetched if each[0] == stream and each[1] <= number]:
                _, _, to, content = fetched
                _rows(to, len(content), len(content), 1)[...] = content
                self.fetched.remove(fetched)
            done = [copy for copy in self.queued if copy.stream == stream and copy.number <= number]
            self.queued = [copy for copy in self.queued if copy not in done]
            for copy in done:
                assert np.array_equal(copy.source, copy.was), "pinned memory was written while a copy from it ran"

    def finish(self) -> None:
        """All of them are waited for."""
        for stream in {copy.stream for copy in self.queued} | {fetched[0] for fetched in self.fetched}:
            self.waited(stream, self.number)

    def Event(self, block: bool = False, disable_timing: bool = False) -> Event:  # noqa: N802  # CuPy's name
        return Event(self)


class Event:
    """In place of CuPy's. Nothing is done before the host has waited for it."""

    def __init__(self, copies: Copies) -> None:
        self._copies, self._recorded = copies, (0, 0)

    def record(self) -> None:
        self._recorded = (self._copies.state.stream, self._copies.number)

    def synchronize(self) -> None:
        self._copies.state.refuse_while_capturing("cudaEventSynchronize")
        self._copies.waited(*self._recorded)


def _rows(start: int, pitch: int, width: int, height: int) -> np.ndarray:
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * ((height - 1) * pitch + width)).from_address(start))
    return np.lib.stride_tricks.as_strided(memory, (height, width), (pitch, 1))
