"""Backend on NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms
from dcfnet.filter import dcf
from dcfnet.filter.colour_histogram import BINS, bins_of, target_probability
from dcfnet.filter.dcf import Array
from dcfnet.filter.fourier_transform import FourierTransform, window_of_both_axes
from dcfnet.filter.response import Peak, read_maps
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import Transform
from dcfnet.filter.update import FilterUpdate
from dcfnet.io.frame import Frame
from dcfnet.io.pixel_formats import CheckedFrame, bgr_around, black_level, host_frame, texture_plane
from dcfnet.io.rectangle import Rectangle, pixels_read, turned_extent, turned_steps
from dcfnet.io.texture import Texture, texture_of


@dataclass(frozen=True)
class HostPlaces:
    """The places of patches in host frames. Fields as the arguments of `Backend.patch_places`."""

    frames: Mapping[int, CheckedFrame]
    sources: NDArray[np.intp]
    centres: NDArray[np.float64]
    regions: NDArray[np.float64]
    light: NDArray[np.float64]
    angle: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, part: slice | NDArray[np.intp]) -> HostPlaces:
        numbers = self.light[part], self.angle[part]
        return HostPlaces(self.frames, self.sources[part], self.centres[part], self.regions[part], *numbers)


class CpuBackend:
    """The reference implementation; see `Backend` for layouts and units."""

    name = "cpu"
    # The maps of the first convolution take 2 MB per patch: four patches just fit into the caches (docs/speed.md).
    patches_per_call = 4

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return np.ascontiguousarray(values)

    def guarded(self) -> AbstractContextManager[None]:
        return nullcontext()

    def thread_context(self) -> AbstractContextManager[None]:
        return nullcontext()

    def frame(self, given: Any) -> CheckedFrame:
        return host_frame(given)

    def check_texture(
        self,
        frames: Mapping[int, CheckedFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> Callable[[], Texture]:
        result = Texture(np.zeros(len(sources), dtype=np.bool_), np.zeros(len(sources)))
        for index in set(sources.tolist()):
            rows, frame = sources == index, frames[index]
            found = texture_of(texture_plane(frame), centres[rows], regions[rows], black_level(frame))
            result.textured[rows], result.levels[rows] = found
        return lambda: result

    def read_pixels(self, frame: CheckedFrame, rows: slice, columns: slice) -> NDArray[np.uint8]:
        return texture_plane(frame)[rows, columns]

    def crop(
        self,
        frames: Mapping[int, CheckedFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        return self.sample_patches(self.patch_places(frames, sources, centres, regions, size), size, mean)

    def patch_places(
        self,
        frames: Mapping[int, CheckedFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        light: NDArray[np.float64] | None = None,
        angle: NDArray[np.float64] | None = None,
    ) -> HostPlaces:
        light = np.ones(len(sources)) if light is None else light
        return HostPlaces(frames, sources, centres, regions, light, np.zeros(len(sources)) if angle is None else angle)

    def sample_patches(
        self, places: HostPlaces, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32
    ) -> Array:
        patches = np.empty((len(places), 3, size, size), dtype=np.float32)
        numbers = zip(places.light.tolist(), places.angle.tolist(), strict=True)
        each = zip(patches, places.sources, places.centres, places.regions, numbers, strict=True)
        for patch, source, centre, region, (light, angle) in each:
            read = turned_extent(region, angle) if angle else region
            pixels, middle = bgr_around(places.frames[source], centre, read)
            if light != 1:
                pixels, middle = _relit_around(pixels, middle, read, light)
            _crop_into(patch, pixels, middle, region, angle, mean)
        return patches.astype(dtype, copy=False)

    def store_filters(self, programs: FramePrograms, filters: ArrayFilters) -> Filters:
        return filters

    def matmul(self, left: Array, right: Array) -> Array:
        return left @ right

    def along_both_axes(self, left: Array, maps: Array, right: Array) -> Array:
        return left @ maps @ right

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return np.empty(shape, dtype)

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def stack(self, arrays: Sequence[Array]) -> Array:
        return np.stack(arrays, axis=1)

    def matrix_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int, scale: float
    ) -> Transform:
        return Transform.build(side, band, response_side, window, self.asarray, self.matmul, margin, scale)

    def fourier_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int
    ) -> FourierTransform:
        from dcfnet.devices.host_fft import irfft2, rfft2  # SciPy, only for those who use it

        values = window_of_both_axes(window)
        return FourierTransform(side, band, response_side, margin, values, rfft2, irfft2)

    def respond(self, search_f: Array, filter_f: Array, first_f: Array) -> Array:
        middle = search_f.shape[1] // 2
        responses = dcf.respond(search_f, filter_f[:, None])
        of_first = dcf.respond(search_f[:, middle : middle + 1], first_f[:, None])
        frequencies = responses.shape[-2:]
        return np.concatenate([responses.reshape(-1, *frequencies), of_first.reshape(-1, *frequencies)])

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        return dcf.blend(old, new, rate)

    def filter_update(
        self,
        label_f: Array,
        rate: float,
        regularisation: float,
        penalty: SpatialPenalty | None,
        shares: Array | None = None,
    ) -> FilterUpdate:
        return FilterUpdate(label_f, rate, regularisation, penalty, shares)

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        found = np.empty((len(patches), 2, BINS), dtype=np.int32)
        for counts, each in zip(found, bins_of(patches, mean, step), strict=True):
            for part in (0, 1):
                counts[part] = np.bincount(each[parts == part + 1], minlength=BINS)
        return found

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        bins = bins_of(patches, mean, step)
        table = target_probability(histograms)
        return np.take_along_axis(table, bins.reshape(len(bins), -1), axis=1).reshape(bins.shape)

    def read_peaks(
        self, maps: Array, position_maps: Array, first_maps: Array, penalty: float
    ) -> tuple[NDArray[np.intp], Peak]:
        return read_maps(maps, position_maps, first_maps, penalty)

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return np.asarray(array)


def _relit_around(
    frame: Frame, centre: NDArray[np.float64], region: NDArray[np.float64], light: float
) -> tuple[Frame, NDArray[np.float64]]:
    """Pixels that contain the patch, with their levels multiplied by `light`, and the patch centre (x, y) in them."""
    part = pixels_read(frame.shape, centre[None], region[None]) or Rectangle(0, 0, 1, 1)  # outside: any are correct
    table = np.minimum(np.rint(np.arange(256, dtype=np.float32) * np.float32(light)), 255).astype(np.uint8)
    return cv2.LUT(frame[part.slices], table), centre - (part.left, part.top)  # type: ignore[return-value]


def _crop_into(
    patch: NDArray[np.float32],
    frame: Frame,
    centre: NDArray[np.float64],
    region: NDArray[np.float64],
    angle: float,
    mean: NDArray[np.float32],
) -> None:
    """One patch (3, S, S) cut out of one frame; OpenCV touches only the pixels it needs."""
    size = patch.shape[-1]
    steps = turned_steps(region / size, angle) if angle else np.diag(region / size)
    start = centre - (size - 1) / 2 * steps.sum(axis=1)
    patch_to_frame = np.concatenate([steps, start[:, None]], axis=1)
    if frame.ndim == 3 and frame.shape[2] > 1:
        sampled = _sample(frame, patch_to_frame, size, mean.tolist())[..., :3].transpose(2, 0, 1)
    else:  # grey: one plane per channel, because each channel has its own mean outside the frame
        sampled = np.stack([_sample(frame, patch_to_frame, size, float(value)) for value in mean])
    np.subtract(sampled, mean[:, None, None], out=patch)


def _sample(
    frame: Frame, patch_to_frame: NDArray[np.float64], size: int, border: float | list[float]
) -> NDArray[np.uint8]:
    """Bilinear samples of the frame, `border` outside it: uint8 (size, size, channels)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    constant = cv2.BORDER_CONSTANT
    return cv2.warpAffine(  # type: ignore[return-value]
        frame, patch_to_frame, (size, size), flags=flags, borderMode=constant, borderValue=border
    )
