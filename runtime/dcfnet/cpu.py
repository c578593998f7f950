"""Backend on NumPy and OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet import dcf
from dcfnet.backend import Array, Frame
from dcfnet.colours import BINS, bins_of, likely
from dcfnet.filters import Filters
from dcfnet.formats import HostLike, host_frame, near, shown
from dcfnet.learning import Learning
from dcfnet.pixels import has_texture
from dcfnet.response import Peak, read_maps
from dcfnet.spatial import SpatialPenalty


@dataclass(frozen=True)
class Places:
    """Where patches lie. sources, centres, regions: as of `Backend.crop`."""

    frames: Sequence[HostLike]
    sources: NDArray[np.intp]
    centres: NDArray[np.float64]
    regions: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, part: slice | NDArray[np.intp]) -> Places:
        return Places(self.frames, self.sources[part], self.centres[part], self.regions[part])


class CpuBackend:
    """The reference twin; see `Backend` for layouts and units."""

    name = "cpu"
    patches_at_once = (
        4  # their maps of the first convolution, 2 MB each, just stay in the cores' caches (docs/speed.md)
    )

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return np.ascontiguousarray(values)

    def guarded(self) -> AbstractContextManager[None]:
        return nullcontext()

    def carried(self) -> AbstractContextManager[None]:
        return nullcontext()

    def frame(self, given: Any) -> HostLike:
        return host_frame(given)

    def textured(
        self,
        frames: Sequence[HostLike],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> Callable[[], NDArray[np.bool_]]:
        each = zip(sources, centres, regions, strict=True)
        seen = [has_texture(shown(frames[source]), centre, region) for source, centre, region in each]
        return lambda: np.array(seen, dtype=np.bool_)

    def crop(
        self,
        frames: Sequence[HostLike],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        return self.cut(self.places(frames, sources, centres, regions, size), size, mean)

    def places(
        self,
        frames: Sequence[HostLike],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
    ) -> Places:
        return Places(frames, sources, centres, regions)

    def cut(self, where: Places, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32) -> Array:
        patches = np.empty((len(where), 3, size, size), dtype=np.float32)
        for patch, source, centre, region in zip(patches, where.sources, where.centres, where.regions, strict=True):
            _crop_into(patch, *near(where.frames[source], centre, region), region, mean)
        return patches.astype(dtype, copy=False)

    def remember(self, pipeline: Any, filters: Filters) -> Filters:
        return filters

    def product(self, one: Array, other: Array) -> Array:
        return one @ other

    def joined(self, arrays: Sequence[Array]) -> Array:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def respond(self, search_f: Array, filter_f: Array) -> Array:
        return dcf.respond(search_f, filter_f[:, None])[:, :, 0]

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        return dcf.blend(old, new, rate)

    def learning(self, label_f: Array, rate: float, regularisation: float, penalty: SpatialPenalty | None) -> Learning:
        return Learning(label_f, rate, regularisation, penalty)

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        found = np.empty((len(patches), 2, BINS), dtype=np.int32)
        for counts, each in zip(found, bins_of(patches, mean, step), strict=True):
            for part in (0, 1):
                counts[part] = np.bincount(each[parts == part + 1], minlength=BINS)
        return found

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        bins = bins_of(patches, mean, step)
        return np.take_along_axis(likely(histograms), bins.reshape(len(bins), -1), axis=1).reshape(bins.shape)

    def read(self, maps: Array, placed: Array, penalty: float) -> tuple[NDArray[np.intp], Peak]:
        return read_maps(maps, placed, penalty)

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return np.asarray(array)


def _crop_into(
    patch: NDArray[np.float32],
    frame: Frame,
    centre: NDArray[np.float64],
    region: NDArray[np.float64],
    mean: NDArray[np.float32],
) -> None:
    """One patch (3, S, S) cut out of one frame; OpenCV touches only the pixels it needs."""
    size = patch.shape[-1]
    step = region / size  # frame pixels per patch pixel
    start = centre - (size - 1) / 2 * step
    patch_to_frame = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    if frame.ndim == 3 and frame.shape[2] > 1:
        sampled = _sample(frame, patch_to_frame, size, mean.tolist())[..., :3].transpose(2, 0, 1)
    else:  # grey: one plane a channel, because each has its own mean outside the frame
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
