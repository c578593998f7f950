"""The kernels' source, and what they are given: frames on the device, and structures as C lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array, Frame
from dcfnet.formats import BGR, Colours
from dcfnet.pixels import grid_of

SOURCES = (
    "kernels.cu",
    "patches.cu",
    "features.cu",
    "peaks.cu",
    "products.cu",
    "filters.cu",
)  # one program, in this order
PLACE = np.dtype(
    [
        *(("pixels", "u8"), ("pitch", "i8"), ("chroma", "u8"), ("chroma_pitch", "i8")),
        *(("height", "i4"), ("width", "i4"), ("channels", "i4")),
        *(("x", "f4"), ("y", "f4"), ("step_x", "f4"), ("step_y", "f4")),
        *((name, "i4") for name in Colours._fields),
    ],
    align=True,
)
WORDS = PLACE.itemsize // 4  # of 4 bytes, that it is made of
_FIRST = PLACE.fields["x"][1] // 4 if PLACE.fields else 0
SAMPLED = slice(_FIRST, _FIRST + 4)  # which of them are x, y, step_x and step_y
GRID = np.dtype(
    [
        *(("pixels", "u8"), ("pitch", "i8"), ("channels", "i4"), ("x", "i4"), ("y", "i4")),
        *(("step_x", "i4"), ("step_y", "i4"), ("columns", "i4"), ("rows", "i4")),
    ],
    align=True,
)
Structures = NDArray[np.void]
Words = NDArray[np.int32]
Pairs = NDArray[np.float64]  # (N, 2)


@dataclass(eq=False)
class CudaFrame:
    """A frame on the GPU. pixels: uint8 (H, W) or (H, W, C), each row's pixels side by side, rows at any pitch.

    host: what its texture is judged by, on the host, where it came from there (uploads.py). chroma: uint8 (H/2, W) or
    (H/2, W/2, 2), pixels are luma then. colours: how it is read.
    """

    pixels: Array
    host: Frame | None = None
    chroma: Array | None = None
    colours: Colours = BGR

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, C)."""
        return tuple(self.pixels.shape)

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def start(self) -> tuple[int, int]:
        """Address of the first pixel, and bytes from one row to the next."""
        return int(self.pixels.data.ptr), int(self.pixels.strides[0])

    @property
    def start_of_chroma(self) -> tuple[int, int]:
        """The same of the chroma; zeros where there is none."""
        return (0, 0) if self.chroma is None else (int(self.chroma.data.ptr), int(self.chroma.strides[0]))

    @cached_property
    def words(self) -> Words:
        """Of a PLACE in it, (WORDS,), but for where it is sampled."""
        image = (*self.start, *self.start_of_chroma, *self.shape[:2], self.channels)
        return np.array([(*image, 0, 0, 0, 0, *self.colours)], PLACE).view(np.int32)

    def need(self, centres: Pairs, regions: Pairs) -> None:
        """Sees to it that what patches of these regions, (M, 2) each, are made of is there for what is queued next."""


def source() -> str:
    """The text of SOURCES; a compiler names file and line."""
    return "".join(f'#line 1 "{name}"\n{(files("dcfnet") / name).read_text()}' for name in SOURCES)


def for_pixels(kernel: str, patches: Array) -> str:
    """The name of the kernel for patches of this type, float32 or float16."""
    return f"{kernel}_half" if patches.dtype == np.float16 else kernel


def need(frames: Sequence[CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs) -> None:
    """`CudaFrame.need` of every frame that patches are cut from. Arguments as those of `Backend.crop`."""
    for frame, rows in by_frame(frames, sources):
        frame.need(centres[rows], regions[rows])


def by_frame(frames: Sequence[CudaFrame], sources: NDArray[np.intp]) -> list[tuple[CudaFrame, Any]]:
    """The frames that are the source of something, each with the rows that it is of."""
    if len(frames) == 1:
        return [(frames[0], slice(None))] if len(sources) else []
    return [(frames[index], sources == index) for index in set(sources.tolist())]


def places(frames: Sequence[CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs, size: int) -> Words:
    """Where the patches lie that `Backend.crop` is asked for: M structures PLACE, as (M, WORDS)."""
    steps, made = regions / size, np.empty((len(sources), WORDS), np.int32)
    for frame, rows in by_frame(frames, sources):
        made[rows] = frame.words
    sampled = made.view(np.float32)[:, SAMPLED]
    sampled[:, :2], sampled[:, 2:] = centres - (size - 1) / 2 * steps, steps
    return made


def grids(frames: Sequence[CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs) -> Structures:
    """The pixels that `has_texture` looks at, GRID (N,)."""
    made = np.zeros(len(centres), dtype=GRID)
    for frame, rows in by_frame(frames, sources):
        (x, y), (right, bottom), (step_x, step_y) = (
            ends.T for ends in grid_of(frame.shape, centres[rows], regions[rows])
        )
        (pixels, pitch), columns, lines = frame.start, -((x - right) // step_x), -((y - bottom) // step_y)
        fields = (pixels, pitch, frame.channels, x, y, step_x, step_y, columns.clip(0), lines.clip(0))
        for name, values in zip(GRID.names or (), fields, strict=True):
            made[name][rows] = values
    return made
