"""Tells the kernels which pixels to read: patch places and texture grids, as arrays of C structures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Angles, Light, Pairs
from dcfnet.devices.cuda.frame import PLACE, CudaFrame
from dcfnet.io.rectangle import turned_steps
from dcfnet.io.texture import grid_of

# The pixels of one texture check: `Grid` of the kernels (kernels/structures.py).
GRID = np.dtype(
    [
        *(("pixels", "u8"), ("pitch", "i8"), ("channels", "i4"), ("x", "i4"), ("y", "i4")),
        *(("step_x", "i4"), ("step_y", "i4"), ("columns", "i4"), ("rows", "i4")),
    ],
    align=True,
)
Structures = NDArray[np.void]
TAPS = 4  # pixels of a bilinear sample


def require_pixels(frames: Mapping[int, CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs) -> None:
    """`CudaFrame.require` for every frame that patches are cropped from. Arguments as for `Backend.crop`."""
    for frame, rows in _by_frame(frames, sources):
        frame.require(centres[rows], regions[rows])


def places_in_place(frames: Mapping[int, CudaFrame], sources: NDArray[np.intp], samples: float) -> Structures | None:
    """As `frame_places`, where the callers' pixels are, also those in pinned memory. None if a frame must be copied.

    samples: pixels of all patches. Kernels may have to read the TAPS pixels of each sample from the host's memory, one
    by one. A frame is copied if these are more than its own pixels.
    """
    places = {}
    for source in set(sources.tolist()):
        height, width, *_ = frames[source].shape
        place = frames[source].place_in_place() if TAPS * samples <= height * width else None
        if place is None:
            return None
        places[source] = place
    if len(places) == 1:
        return place
    return np.concatenate([places[source] for source in sources.tolist()])


def frame_places(frames: Mapping[int, CudaFrame], sources: NDArray[np.intp]) -> Structures:
    """A place in the frame of each target, without position: PLACE (N,), or (1,) if there is one frame."""
    if len(frames) == 1 and len(sources):
        return frames[sources.item(0)].place
    places = np.empty(len(sources), PLACE)
    for frame, rows in _by_frame(frames, sources):
        places[rows] = frame.place
    return places


def patch_places(
    frames: Mapping[int, CudaFrame],
    sources: NDArray[np.intp],
    centres: Pairs,
    regions: Pairs,
    size: int,
    light: Light = None,
    angle: Angles = None,
) -> Structures:
    """The places of M patches, PLACE (M,). Arguments as for `Backend.patch_places`."""
    places = np.empty(len(sources), PLACE)
    places[:] = frame_places(frames, sources)
    steps, skews = regions / size, np.zeros((1, 2))
    if angle is not None:
        turned = turned_steps(steps, angle)
        steps, skews = turned[:, (0, 1), (0, 1)], turned[:, (0, 1), (1, 0)]
    corners = centres - (size - 1) / 2 * (steps + skews)
    places["x"], places["y"] = corners[:, 0], corners[:, 1]
    places["step_x"], places["step_y"] = steps[:, 0], steps[:, 1]
    places["skew_x"], places["skew_y"] = skews[:, 0], skews[:, 1]
    places["light"] = 1 if light is None else light
    return places


def texture_grids(
    frames: Mapping[int, CudaFrame], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
) -> Structures:
    """The pixels that `has_texture` examines in M regions, GRID (M,). Arguments as for `Backend.crop`."""
    grids = np.zeros(len(centres), dtype=GRID)
    for frame, rows in _by_frame(frames, sources):
        (x, y), (right, bottom), (step_x, step_y) = (
            ends.T for ends in grid_of(frame.shape, centres[rows], regions[rows])
        )
        (pixels, pitch), columns, lines = frame.start, -((x - right) // step_x), -((y - bottom) // step_y)
        fields = (pixels, pitch, frame.channels, x, y, step_x, step_y, columns.clip(0), lines.clip(0))
        for name, values in zip(GRID.names or (), fields, strict=True):
            grids[name][rows] = values
    return grids


def _by_frame(frames: Mapping[int, CudaFrame], sources: NDArray[np.intp]) -> list[tuple[CudaFrame, Any]]:
    """Each frame that patches are cropped from, with the rows of its patches."""
    if len(frames) == 1:
        return [(frames[sources.item(0)], slice(None))] if len(sources) else []
    return [(frames[index], sources == index) for index in set(sources.tolist())]
