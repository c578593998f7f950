"""Frames of the host on their way to the GPU: only what is looked at of them is copied, through pinned memory in turns.

Of a frame in memory that is pinned already there is no copy on the host; its owner may write it again once the call
that was given it has returned, so that `Uploads.settle` is waited for before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.formats import BGR, HostLike, Wrapped, shown
from dcfnet.kernels import CudaFrame, Pairs
from dcfnet.rectangle import Rectangle, touched

MARGIN = 1 / 8  # of a region's side, copied on each side besides: a lesson's region has moved by less, mostly
WHOLE = 1 / 2  # of a frame: where more than this is looked at all of it is copied, and nothing is missing later


class Staging:
    """Pinned memory that one copy at a time runs from. device: a `CudaDevice`."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._memory = np.empty(0, np.uint8)
        self._left = device.event()  # passed once the last copy from here has been made

    def filled(self, part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part, uint8 (h, w), here, packed; waits for the copy before, and holds until `lent` and the next call."""
        self._left.synchronize()
        if len(self._memory) < part.size:  # twice as much each time: a target that grows must not ask in every frame
            self._memory = self._device.pinned(1 << (part.size - 1).bit_length())
        packed = self._memory[: part.size].reshape(part.shape)
        packed[...] = part
        return packed

    def lent(self) -> None:
        """A copy from here has been queued."""
        self._left.record()


def send(device: Any, turns: list[Staging], part: NDArray[np.uint8], to: int, pitch: int) -> None:
    """Queues a copy of a part, uint8 (h, w), to an address of the device, rows at `pitch`, out of two pieces in turns:
    one is filled while a copy runs from the other.
    """
    staging = turns[0]
    turns.reverse()
    device.copy_rows(staging.filled(part), to, pitch)
    staging.lent()


class Uploads:
    """The way of frames to one device, of one thread. copied: bytes that were queued to be, in all."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._turns = [Staging(device), Staging(device)]
        self._borrowed: Any = None  # an event behind the copies out of memory that is not ours
        self.copied = 0

    def frame(self, host: HostLike) -> HostFrame:
        """The frame, which must stay as it is until `settle`."""
        return HostFrame(host, self._device, self)

    def copy(self, plane: NDArray[np.uint8], rows: slice, columns: slice, start: int, pitch: int) -> None:
        """Queues a copy of part of a plane, uint8 (h, w), to its place in one like it, at `start`, rows at `pitch`."""
        part, to = plane[rows, columns], start + rows.start * pitch + columns.start
        self.copied += part.size
        if self._device.pins(part):
            self._device.copy_rows(part, to, pitch)
            self._borrowed = self._borrowed or self._device.event()
            self._borrowed.record()
            return
        send(self._device, self._turns, part, to, pitch)

    def settle(self) -> None:
        """Waits until nothing is copied any more out of memory that is not ours."""
        if self._borrowed is not None:
            self._borrowed.synchronize()


class HostFrame(CudaFrame):
    """A frame of the host, with room for all of it on the device, and there what has been asked for."""

    def __init__(self, host: HostLike, device: Any, uploads: Uploads) -> None:
        planes = host.given if isinstance(host, Wrapped) else (host,)
        pixels, *chroma = (device.empty(plane.shape, np.uint8) for plane in planes)
        colours = host.colours if isinstance(host, Wrapped) else BGR
        super().__init__(pixels, shown(host), chroma[0] if chroma else None, colours)
        self._rows = [plane.reshape(len(plane), -1) for plane in planes]  # as bytes, uint8 (h, w)
        self._uploads, self._held = uploads, Rectangle()

    def need(self, centres: Pairs, regions: Pairs) -> None:
        if self._held and self._held.holds(touched(self.shape, centres, regions)):
            return
        wanted = self._held.joined(touched(self.shape, centres, regions * (1 + 2 * MARGIN)))
        whole = Rectangle(0, 0, self.shape[1], self.shape[0])
        wanted = whole if wanted.area > WHOLE * whole.area else wanted
        wanted = wanted if self.chroma is None else wanted.even()
        for strip in wanted.without(self._held):
            self._fetch(strip)
        self._held = wanted

    def _fetch(self, strip: Rectangle) -> None:
        (address, pitch), each = self.start, self.channels
        columns = slice(strip.left * each, strip.right * each)
        self._uploads.copy(self._rows[0], slice(strip.top, strip.bottom), columns, address, pitch)
        if self.chroma is not None:  # half the rows, and as many bytes in each: a pair for two pixels
            rows = slice(strip.top // 2, strip.bottom // 2)
            self._uploads.copy(self._rows[1], rows, columns, *self.start_of_chroma)
