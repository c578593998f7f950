"""The backend on a CUDA device; `cpu.py` is its counterpart.

All work is queued on CuPy's current stream. Only these wait for it: `read_peaks`, `to_host`, the function that
`check_texture` returns, and the end of `guarded` if a frame is in pinned memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.devices.cuda.device import CudaDevice
from dcfnet.devices.cuda.frame import CudaFrame
from dcfnet.devices.cuda.frame_input import device_frame
from dcfnet.devices.cuda.kernels.filter_update import CudaFilterUpdate, blend, respond
from dcfnet.devices.cuda.kernels.fourier import CudaFourierTransform
from dcfnet.devices.cuda.kernels.matrix_product import matrix_product
from dcfnet.devices.cuda.kernels.peaks import PeakReader, unpack_peaks
from dcfnet.devices.cuda.kernels.program import for_pixels
from dcfnet.devices.cuda.kernels.separable import CudaTransform, along_both_axes
from dcfnet.devices.cuda.kernels.texture import TextureReader
from dcfnet.devices.cuda.sampling import Structures, patch_places, require_pixels
from dcfnet.devices.cuda.slots import SlotPool
from dcfnet.devices.cuda.uploads import Uploads
from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms
from dcfnet.filter.colour_histogram import BINS, UNSEEN
from dcfnet.filter.dcf import Array
from dcfnet.filter.fourier_transform import window_of_both_axes
from dcfnet.filter.response import Peak
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import Transform
from dcfnet.filter.update import FilterUpdate
from dcfnet.io.rectangle import turned_extent
from dcfnet.io.texture import Texture


class CudaBackend:
    """Backend on CuPy; see `Backend` for layouts and units. `guarded` lets one thread at a time use it."""

    name = "cuda"
    # At 108 px a patch and its features need about 0.5 MB, so 64 of them fit into the L2 cache. Not measured.
    patches_per_call = 64
    captures = True  # whether the programs of a frame are captured as CUDA graphs; otherwise queued call by call
    reads_in_place = True  # whether *detect* reads frames in pinned memory in place; otherwise they are copied

    def __init__(self, device: CudaDevice | None = None) -> None:
        """Raises DeviceError naming what is missing: driver, GPU, or CUDA's libraries."""
        self._device = device or CudaDevice()
        self._device.compile()
        self._uploads = Uploads(self._device)
        self._guard = _Guard(self._device, self._uploads)
        self._reader, self._texture = PeakReader(self._device), TextureReader(self._device)
        self._slots: SlotPool | None = None

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return self._device.constant(values)

    def guarded(self) -> AbstractContextManager[None]:
        return self._guard

    def thread_context(self) -> AbstractContextManager[None]:
        return self._device.thread_context()

    def frame(self, given: Any) -> CudaFrame:
        self._device.check()
        self._uploads.reads_in_place = self.reads_in_place
        return device_frame(self._device, self._uploads, given)

    def check_texture(
        self,
        frames: Mapping[int, CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> Callable[[], Texture]:
        return self._texture(frames, sources, centres, regions)

    def read_pixels(self, frame: CudaFrame, rows: slice, columns: slice) -> NDArray[np.uint8]:
        if frame.texture_plane is not None:
            return frame.texture_plane[rows, columns]
        pixels: NDArray[np.uint8] = self._device.to_host(frame.pixels[rows, columns])
        return pixels

    def crop(
        self,
        frames: Mapping[int, CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        return self.sample_patches(self.patch_places(frames, sources, centres, regions, size), size, mean)

    def patch_places(
        self,
        frames: Mapping[int, CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        light: NDArray[np.float64] | None = None,
        angle: NDArray[np.float64] | None = None,
    ) -> Structures:
        read = regions if angle is None else turned_extent(regions, angle)
        require_pixels(frames, sources, centres, read)
        return patch_places(frames, sources, centres, regions, size, light, angle)

    def sample_patches(
        self, places: Structures | Array, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32
    ) -> Array:
        count = len(places)
        on_device = self._device.upload(places.view(np.uint8)) if isinstance(places, np.ndarray) else places
        patches = self._device.empty((count, 3, size, size), dtype)
        scalars = (np.int32(count), np.int32(size), *mean.astype(np.float32))
        self._device.launch(for_pixels("crop", patches), count * size * size, on_device, patches, *scalars)
        return patches

    def store_filters(self, programs: FramePrograms, filters: ArrayFilters) -> Filters:
        if not self.captures:
            return filters
        if self._slots is not None and self._slots.programs is not programs:
            self._slots.close()
            self._slots = None
        if self._slots is None:
            self._slots = SlotPool(self._device, self._reader, programs)
        return self._slots.stored(filters)

    def matmul(self, left: Array, right: Array) -> Array:
        return matrix_product(self._device, left, right)

    def along_both_axes(self, left: Array, maps: Array, right: Array) -> Array:
        return along_both_axes(self._device, left, maps, right)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return self._device.empty(shape, dtype)

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        return self._device.concatenate(arrays)

    def stack(self, arrays: Sequence[Array]) -> Array:
        return self._device.stack(arrays)

    def matrix_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int, scale: float
    ) -> CudaTransform:
        sizes = (side, band, response_side)
        matrices = Transform.build(*sizes, window, self.asarray, self.matmul, margin, scale)
        return CudaTransform(**vars(matrices), device=self._device)

    def fourier_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int
    ) -> CudaFourierTransform:
        device, values = self._device, self.asarray(window_of_both_axes(window))
        sizes = (side, band, response_side, margin)
        return CudaFourierTransform(device, device.fft_plans(), *sizes, values)

    def respond(self, search_f: Array, filter_f: Array, first_f: Array) -> Array:
        return respond(self._device, search_f, filter_f, first_f)

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        return blend(self._device, old, new, rate)

    def filter_update(
        self,
        label_f: Array,
        rate: float,
        regularisation: float,
        penalty: SpatialPenalty | None,
        shares: Array | None = None,
    ) -> FilterUpdate:
        if shares is not None:  # there are no kernels for several feature levels yet
            return FilterUpdate(label_f, rate, regularisation, penalty, shares)
        return CudaFilterUpdate(label_f, rate, regularisation, penalty, device=self._device)

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        counts = self._device.zeros((len(patches), 2, BINS), np.int32)
        self._launch_by_pixel("count_colours", patches, step, (mean, parts, counts))
        return counts

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        side = len(range(0, patches.shape[-1], step))
        probability = self._device.empty((len(patches), side, side))
        self._launch_by_pixel("likelihood", patches, step, (mean, histograms, probability), np.float32(UNSEEN))
        return probability

    def _launch_by_pixel(
        self, kernel: str, patches: Array, step: int, arrays: Sequence[Array], *more: np.generic
    ) -> None:
        """Launches a kernel on every `step`th pixel. Patches have one common stride.

        A patch without its margin is not contiguous and is copied.
        """
        patches = self._device.with_contiguous_rows(patches)
        count, size = len(patches), patches.shape[-1]
        side, patch_stride = len(range(0, size, step)), patches.strides[0] // patches.dtype.itemsize
        sizes = map(np.int32, (count, size, step, side, patch_stride))
        self._device.launch(for_pixels(kernel, patches), count * side * side, patches, *arrays, *sizes, *more)

    def read_peaks(
        self, maps: Array, position_maps: Array, first_maps: Array, penalty: float
    ) -> tuple[NDArray[np.intp], Peak]:
        return unpack_peaks(self._device.to_host(self._reader(maps, position_maps, first_maps, penalty)))

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return self._device.to_host(array)


class _Guard(AbstractContextManager[None]):
    """See `Backend.guarded`. A class: a generator takes about 2 us longer."""

    def __init__(self, device: CudaDevice, uploads: Uploads) -> None:
        self._lock, self._errors, self._uploads = RLock(), device.guarded(), uploads

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._uploads.borrowing:
                with self._errors:
                    self._uploads.finish()
            if error is not None:
                self._errors.__exit__(kind, error, trace)
        finally:
            self._lock.release()
