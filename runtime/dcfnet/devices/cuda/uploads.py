"""Uploads of host frames: only the pixels that patches need are copied, through two pinned staging buffers in turn.

A frame in pinned memory is copied directly, without a staging buffer. The caller may overwrite it when `update`
returns, so `Uploads.finish` waits for these copies. The program *detect* can read such a frame without a copy, because
the host waits for its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.io.frame import Frame
from dcfnet.io.pixel_formats import BGR, Nv12, Rgb, texture_plane
from dcfnet.io.rectangle import Rectangle, pixels_read

# Share of a region's side that is copied beyond each side. The patch of the filter update is mostly inside this margin.
MARGIN = 1 / 8
WHOLE = 1 / 2  # share of a frame; if more than this is needed, the whole frame is copied


class StagingBuffer:
    """Pinned memory for one copy at a time. device: a `CudaDevice`."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._memory = np.empty(0, np.uint8)
        self._copied = device.event()  # has passed when the last copy from here is complete

    def fill(self, part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A packed copy of the part, uint8 (h, w), in pinned memory. Waits for the previous copy from here."""
        self._copied.synchronize()
        if len(self._memory) < part.size:  # a power of two: a growing target must not allocate in every frame
            self._memory = self._device.pinned(1 << (part.size - 1).bit_length())
        packed = self._memory[: part.size].reshape(part.shape)
        packed[...] = part
        return packed

    def mark_queued(self) -> None:
        """Must be called after a copy from this buffer was queued."""
        self._copied.record()


def pinned_address(device: Any, rows: NDArray[np.uint8]) -> int | None:
    """The address at which kernels read pinned rows, uint8 (h, w), not empty; 0 if they cannot read them in place.

    None: the rows are not pinned at both ends.
    """
    first, length = rows.ctypes.data, (len(rows) - 1) * rows.strides[0] + rows.shape[1] - 1
    start, end = device.pointer(first), device.pointer(first + length)
    if start.type != device.pinned_type or end.type != device.pinned_type:
        return None
    return int(start.devicePointer) if end.devicePointer - start.devicePointer == length else 0


def upload_rows(device: Any, buffers: list[StagingBuffer], part: NDArray[np.uint8], to: int, pitch: int) -> None:
    """Queues a copy of a part, uint8 (h, w), to a device address, its rows `pitch` bytes apart.

    The two buffers take turns: the host fills one while a copy runs from the other.
    """
    buffer = buffers[0]
    buffers.reverse()
    device.copy_rows(buffer.fill(part), to, pitch)
    buffer.mark_queued()


class Uploads:
    """Uploads to one device, from one thread. copied: bytes queued so far. reads_in_place: see `CudaBackend`."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._buffers = [StagingBuffer(device), StagingBuffer(device)]
        self._borrowed: Any = None  # an event after the copies from the caller's pinned memory
        self.copied, self.reads_in_place = 0, True

    def frame(self, host: Frame | Rgb | Nv12) -> HostFrame:
        """The frame on the device. The caller must not change it until `finish`."""
        return HostFrame(host, self._device, self)

    def copy(self, plane: NDArray[np.uint8], rows: slice, columns: slice, start: int, pitch: int) -> None:
        """Queues a copy of part of a plane, uint8 (h, w), to its place in the device plane at `start`."""
        part, to = plane[rows, columns], start + rows.start * pitch + columns.start
        self.copied += part.size
        if pinned_address(self._device, part) is not None:
            self._device.copy_rows(part, to, pitch)
            self._borrowed = self._borrowed or self._device.event()
            self._borrowed.record()
            return
        upload_rows(self._device, self._buffers, part, to, pitch)

    @property
    def borrowing(self) -> bool:
        """Whether there were copies from the caller's memory."""
        return self._borrowed is not None

    def finish(self) -> None:
        """Waits for the copies from the caller's memory."""
        if self._borrowed is not None:
            self._borrowed.synchronize()


class HostFrame(CudaFrame):
    """A host frame with device memory of the same size, which contains the pixels that were required so far."""

    def __init__(self, host: Frame | Rgb | Nv12, device: Any, uploads: Uploads) -> None:
        planes = host.arrays if isinstance(host, (Rgb, Nv12)) else (host,)
        pixels, *chroma = (device.empty(plane.shape, np.uint8) for plane in planes)
        colours = host.colours if isinstance(host, (Rgb, Nv12)) else BGR
        super().__init__(pixels, texture_plane(host), chroma[0] if chroma else None, colours)
        self._planes = [plane.reshape(len(plane), -1) for plane in planes]  # as bytes, uint8 (h, w)
        self._device, self._uploads, self._copied = device, uploads, Rectangle()

    def require(self, centres: Pairs, regions: Pairs) -> None:
        if self._copied and self._copied.contains(pixels_read(self.shape, centres, regions)):
            return
        wanted = self._copied.union(pixels_read(self.shape, centres, regions * (1 + 2 * MARGIN)))
        whole = Rectangle(0, 0, self.shape[1], self.shape[0])
        wanted = whole if wanted.area > WHOLE * whole.area else wanted
        wanted = wanted if self.chroma is None else wanted.even()
        for strip in wanted.difference(self._copied):
            self._copy(strip)
        self._copied = wanted

    def place_in_place(self) -> NDArray[np.void] | None:
        if not self._uploads.reads_in_place:
            return None
        starts = [(pinned_address(self._device, plane) or 0, int(plane.strides[0])) for plane in self._planes]
        return self._place_at(*starts) if all(address for address, _ in starts) else None

    def _copy(self, strip: Rectangle) -> None:
        (address, pitch), each = self.start, self.channels
        columns = slice(strip.left * each, strip.right * each)
        self._uploads.copy(self._planes[0], slice(strip.top, strip.bottom), columns, address, pitch)
        if self.chroma is not None:  # half as many rows, with as many bytes in each: two bytes for two pixels
            rows = slice(strip.top // 2, strip.bottom // 2)
            self._uploads.copy(self._planes[1], rows, columns, *self.chroma_start)
