"""The backend on a CUDA device, the twin of cpu.py.

Everything is queued on CuPy's current stream, and nothing here waits for it but `read`, `to_host`, what `textured`
answers, and `guarded` for frames of pinned memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.adoption import adopted
from dcfnet.backend import Array
from dcfnet.colours import BINS, UNSEEN
from dcfnet.device import CudaDevice
from dcfnet.filters import Filters
from dcfnet.fused import FusedLearning, blend, respond
from dcfnet.graphs import Arena
from dcfnet.kernels import CudaFrame, Words, for_pixels, need, places
from dcfnet.learning import Learning
from dcfnet.products import product
from dcfnet.reading import PeakReader, told
from dcfnet.response import Peak
from dcfnet.spatial import SpatialPenalty
from dcfnet.texture import TextureReader
from dcfnet.uploads import Uploads


class CudaBackend:
    """Backend on CuPy; see `Backend` for layouts and units. One thread at a time, which `guarded` sees to."""

    name = "cuda"
    patches_at_once = 64  # patches and features, some 0.5 MB each at 108 px, lie in the caches; not measured
    captures = True  # a frame's two programs are captured and launched as one call each; else queued call by call

    def __init__(self, device: CudaDevice | None = None) -> None:
        """Raises DeviceError naming what is missing: driver, GPU, or CUDA's libraries."""
        self._device = device or CudaDevice()
        self._device.prepare()
        self._uploads = Uploads(self._device)
        self._turn = RLock()  # threads that share a tracker, or a pipeline, go one after another
        self._reader, self._texture = PeakReader(self._device), TextureReader(self._device)
        self._arena: Arena | None = None

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return self._device.constant(values)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with self._turn, self._device.guarded():
            try:
                yield
            finally:
                self._uploads.settle()

    def carried(self) -> AbstractContextManager[None]:
        return self._device.carried()

    def frame(self, given: Any) -> CudaFrame:
        self._device.check()
        return adopted(self._device, self._uploads, given)

    def textured(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> Callable[[], NDArray[np.bool_]]:
        return self._texture(frames, sources, centres, regions)

    def crop(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        return self.cut(self.places(frames, sources, centres, regions, size), size, mean)

    def places(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
    ) -> Words:
        need(frames, sources, centres, regions)
        return places(frames, sources, centres, regions, size)

    def cut(self, where: Words | Array, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32) -> Array:
        count = len(where)
        given = self._device.upload(where.view(np.uint8)) if isinstance(where, np.ndarray) else where
        patches = self._device.empty((count, 3, size, size), dtype)
        numbers = (np.int32(count), np.int32(size), *mean.astype(np.float32))
        self._device.launch(for_pixels("crop", patches), count * size * size, given, patches, *numbers)
        return patches

    def remember(self, pipeline: Any, filters: Filters) -> Filters:
        if not self.captures:
            return filters
        if self._arena is None or self._arena.pipeline is not pipeline:
            self._arena = Arena(self._device, self._reader, pipeline)
        return self._arena.laid(filters.arrays)

    def product(self, one: Array, other: Array) -> Array:
        return product(self._device, one, other)

    def joined(self, arrays: Sequence[Array]) -> Array:
        return self._device.joined(arrays)

    def respond(self, search_f: Array, filter_f: Array) -> Array:
        return respond(self._device, search_f, filter_f)

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        return blend(self._device, old, new, rate)

    def learning(self, label_f: Array, rate: float, regularisation: float, penalty: SpatialPenalty | None) -> Learning:
        return FusedLearning(label_f, rate, regularisation, penalty, self._device)

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        counts = self._device.zeros((len(patches), 2, BINS), np.int32)
        self._by_pixel("count_colours", patches, step, (mean, parts, counts))
        return counts

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        side = len(range(0, patches.shape[-1], step))
        found = self._device.empty((len(patches), side, side))
        self._by_pixel("likelihood", patches, step, (mean, histograms, found), np.float32(UNSEEN))
        return found

    def _by_pixel(self, kernel: str, patches: Array, step: int, arrays: Sequence[Array], *more: np.generic) -> None:
        """A kernel upon every `step`th pixel of patches that lie evenly apart, each in one piece."""
        count, size = len(patches), patches.shape[-1]
        side, apart = len(range(0, size, step)), patches.strides[0] // patches.dtype.itemsize
        numbers = map(np.int32, (count, size, step, side, apart))
        self._device.launch(for_pixels(kernel, patches), count * side * side, patches, *arrays, *numbers, *more)

    def read(self, maps: Array, placed: Array, penalty: float) -> tuple[NDArray[np.intp], Peak]:
        return told(self._device.to_host(self._reader(maps, placed, penalty)))

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return self._device.to_host(array)
