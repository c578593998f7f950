"""The interface to a device. `cpu.py` and `cuda/backend.py` implement it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms, PatchPlaces
from dcfnet.filter.dcf import Array
from dcfnet.filter.response import Peak
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import SpectralTransform
from dcfnet.filter.update import FilterUpdate
from dcfnet.io.texture import Texture

Pairs = NDArray[np.float64]  # (N, 2), (x, y) or (width, height)
Light = NDArray[np.float64] | None  # (M,), factors of the pixels of M patches; None: 1 for each
Angles = NDArray[np.float64] | None  # (M,), radians, of M patches; None: 0 for each


class Backend(Protocol):
    """A device and its arrays: float32 and complex64, contiguous, target axis first. Patches may be float16.

    name: "cpu" or "cuda". patches_per_call: the most patches in one call of the backbone.
    """

    @property
    def name(self) -> str: ...

    @property
    def patches_per_call(self) -> int: ...

    def asarray(self, values: NDArray[np.generic]) -> Array:
        """Host array, float32 or complex64 -> the same array on the device, contiguous."""

    def to_host(self, array: Array) -> NDArray[np.float32]:
        """Device array -> host array. Waits for the device."""

    def guarded(self) -> AbstractContextManager[None]:
        """A context in which one thread at a time uses the backend, and errors of the device raise DeviceError."""

    def thread_context(self) -> AbstractContextManager[None]:
        """The device and the stream of this thread, as a context that another thread enters once."""

    def frame(self, given: Any) -> Any:
        """Converts a frame to the form that the functions below accept; it has a `shape`. Accepts its own results too.

        Raises InvalidFrameError for anything that is not a frame, and for a frame on another device.
        """

    def check_texture(
        self, frames: Mapping[int, Any], sources: NDArray[np.intp], centres: Pairs, regions: Pairs
    ) -> Callable[[], Texture]:
        """Starts the texture check of M regions. Call the returned function for the result.

        `io.texture` has the rules. Arguments as for `crop`. For frames on a device the check is queued, and the
        returned function waits for it.
        """

    def read_pixels(self, frame: Any, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Some pixels of a frame on the host: uint8 (R, C) or (R, C, channels). For NV12 they are luma.

        Waits for the device if the frame came from it.
        """

    def crop(
        self,
        frames: Mapping[int, Any],
        sources: NDArray[np.intp],
        centres: Pairs,
        regions: Pairs,
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        """Square patches around centres: float32 (M, 3, size, size), BGR, mean subtracted, 0 outside the frame.

        sources: (M,), key in `frames` of the frame of each patch.
        centres, regions: (M, 2), (x, y) and (width, height), frame pixels. Pixel j of a patch of size S is at
        centre + (j - (S - 1) / 2) * region / S, sampled bilinearly. mean: float32 (3,), whole numbers, BGR.
        """

    def patch_places(
        self,
        frames: Mapping[int, Any],
        sources: NDArray[np.intp],
        centres: Pairs,
        regions: Pairs,
        size: int,
        light: Light = None,
        angle: Angles = None,
    ) -> PatchPlaces:
        """The first half of `crop`: where the M patches are, for `sample_patches`.

        light: (M,), the levels of the pixels of each patch are multiplied by it, rounded, and limited to 255. Pixels
        outside the frame are still exactly 0. angle: (M,), radians, each patch is turned by it around its centre,
        clockwise in the frame: see `io.rectangle.turned_steps`.
        """

    def sample_patches(
        self, places: PatchPlaces, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32
    ) -> Array:
        """The second half of `crop`: the patches at these places, of the same size. float16 holds the same numbers."""

    def store_filters(self, programs: FramePrograms, filters: ArrayFilters) -> Filters:
        """The filters of new targets, in the form that the backend keeps from frame to frame."""

    def matmul(self, left: Array, right: Array) -> Array:
        """`left @ right`, (..., n, k) and (..., k, m), both float32 or both complex64; at least one has two axes."""

    def along_both_axes(self, left: Array, maps: Array, right: Array) -> Array:
        """`left @ maps @ right` for each map, float32: (R, H), (N, H, W) and (W, C) -> (N, R, C)."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """A new array, contiguous, with any values."""

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        """The arrays, concatenated along their first axis; a single array is returned as it is."""

    def stack(self, arrays: Sequence[Array]) -> Array:
        """S arrays of one shape, (M, ...) each, as one array (M, S, ...)."""

    def matrix_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int, scale: float
    ) -> SpectralTransform:
        """The transform by products of matrices, on this device: `Transform.build`."""

    def fourier_transform(
        self, side: int, band: int, response_side: int, window: NDArray[np.float64], margin: int
    ) -> SpectralTransform:
        """The transform by fast Fourier transforms, on this device. Arguments as for `Transform.build`."""

    def respond(self, search_f: Array, filter_f: Array, first_f: Array) -> Array:
        """Responses of the filters of N targets (eq. 3): `dcf.respond`, complex64 (N x S + N, K, B+1).

        The first N x S are those of N filters to S search spectra each. The last N are those of the first filters to
        the middle search spectrum. search_f: complex64 (N, S, C, K, B+1). filter_f, first_f: complex64 (N, C, K, B+1).
        """

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        """`dcf.blend` of float32 (N, S, ...) towards (N, 1, ...), or of two arrays of one shape."""

    def filter_update(
        self,
        label_f: Array,
        rate: float,
        regularisation: float,
        penalty: SpatialPenalty | None,
        shares: Array | None = None,
    ) -> FilterUpdate:
        """The update rule of the filters, on this device. Arguments as for `FilterUpdate`."""

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        """Colour counts of parts 1 and 2 of each patch, in the bins of `filter.colour_histogram`: int32 (N, 2, BINS).

        patches: float32 or float16 (N, 3, S, S), BGR, mean subtracted. Every `step`th pixel counts: P along each axis.
        mean: float32 (3,). parts: int32 (P, P), 0, 1 or 2; pixels of part 0 do not count.
        """

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        """The probability that a pixel belongs to the target, in [0, 1]: float32 (N, P, P).

        Arguments as for `count_colours`. histograms: float32 (N, 2, BINS), of target and surroundings.
        """

    def read_peaks(
        self, maps: Array, position_maps: Array, first_maps: Array, penalty: float
    ) -> tuple[NDArray[np.intp], Peak]:
        """Response maps float32 (N, S, R, R) -> winning scale (N,) and peaks: `read_maps` of `filter.response`.

        A frame waits for the device only here and for the result of `check_texture`. Seven numbers per target are
        copied to the host; the maps stay on the device.
        """
