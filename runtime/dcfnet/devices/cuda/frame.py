"""A frame on the GPU."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.filter.dcf import Array
from dcfnet.io.frame import Frame
from dcfnet.io.pixel_formats import BGR, Colours

# The place of one patch: `Place` of the kernels (kernels/structures.py).
PLACE = np.dtype(
    [
        *(("pixels", "u8"), ("pitch", "i8"), ("chroma", "u8"), ("chroma_pitch", "i8")),
        *(("height", "i4"), ("width", "i4"), ("channels", "i4")),
        *(
            ("x", "f4"),
            ("y", "f4"),
            ("step_x", "f4"),
            ("step_y", "f4"),
            ("skew_x", "f4"),
            ("skew_y", "f4"),
            ("light", "f4"),
        ),
        *((name, "i4") for name in Colours._fields),
    ],
    align=True,
)
ADDRESSES = ("pixels", "pitch", "chroma", "chroma_pitch")  # where the frame of a place is
# `np.array` of a tuple takes three times as long.
_PLACE = struct.Struct(f"@QqQq3i7f{len(Colours._fields)}i0Q")


@dataclass(eq=False)
class CudaFrame:
    """A frame on the GPU.

    pixels: uint8 (H, W) or (H, W, C); the pixels of a row are contiguous, rows may have any pitch.
    texture_plane: pixels for the texture check on the host; None for a frame that came from the GPU.
    chroma: uint8 (H/2, W) or (H/2, W/2, 2); `pixels` is then the luma. colours: how to compute BGR.
    """

    pixels: Array
    texture_plane: Frame | None = None
    chroma: Array | None = None
    colours: Colours = BGR

    def __post_init__(self) -> None:
        self.shape: tuple[int, ...] = tuple(self.pixels.shape)  # (H, W) or (H, W, C)

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def start(self) -> tuple[int, int]:
        """Address of the first pixel, and the pitch: bytes from one row to the next."""
        return int(self.pixels.data.ptr), int(self.pixels.strides[0])

    @property
    def chroma_start(self) -> tuple[int, int]:
        """Address and pitch of the chroma; zeros without chroma."""
        return (0, 0) if self.chroma is None else (int(self.chroma.data.ptr), int(self.chroma.strides[0]))

    @property
    def place(self) -> NDArray[np.void]:
        """A patch place in this frame, PLACE (1,), without its position, step and light."""
        return self._place_at(self.start, self.chroma_start if self.chroma is not None else (0, 0))

    def place_in_place(self) -> NDArray[np.void] | None:
        """As `place`, where the caller's pixels are. None if kernels cannot read them there.

        The pixels of a host frame may only be read by work that the host waits for.
        """
        return self.place

    def _place_at(self, start: tuple[int, int], chroma_start: tuple[int, int] = (0, 0)) -> NDArray[np.void]:
        """As `place`, for pixels at another address."""
        shape = self.shape
        image = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
        return np.frombuffer(_PLACE.pack(*start, *chroma_start, *image, *(0,) * 7, *self.colours), PLACE)

    def require(self, centres: Pairs, regions: Pairs) -> None:
        """Ensures that the pixels of these regions are on the GPU for work that is queued next. (M, 2) each."""
