"""The array seam: what a device must give, and the choice of the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.errors import ConfigError, DeviceError, MissingDependencyError
from dcfnet.response import Peak

if TYPE_CHECKING:
    from dcfnet.filters import Filters
    from dcfnet.learning import Learning
    from dcfnet.spatial import SpatialPenalty

Array: TypeAlias = Any  # an array of the backend: numpy.ndarray on a CPU, cupy.ndarray on a GPU
Where: TypeAlias = Any  # where patches lie, as a backend's `places` tells it: of a length, and cut by slices
Frame: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR, (H, W, 4) BGRA, (H, W, 1) or (H, W) grey

DEVICES = ("auto", "cpu", "cuda")


class Backend(Protocol):
    """Where arrays live. All of it is float32 and complex64, contiguous, target axis first; patches may be float16.

    name: "cpu" or "cuda". patches_at_once: how many go through the backbone in one call, more in turns.
    """

    @property
    def name(self) -> str: ...

    @property
    def patches_at_once(self) -> int: ...

    def asarray(self, values: NDArray[np.generic]) -> Array:
        """Host array, float32 or complex64 -> the same array on the device, contiguous."""

    def guarded(self) -> AbstractContextManager[None]:
        """Within, what the device's library raises comes out as DeviceError."""

    def carried(self) -> AbstractContextManager[None]:
        """The device and the stream of this thread, to be entered once in another."""

    def frame(self, given: Any) -> Any:
        """What is given as a frame, as the functions below take it, with a `shape`; one that was given before as it is.

        Raises InvalidFrameError for what is none, and for one that lies on another device, saying so.
        """

    def textured(
        self,
        frames: Sequence[Any],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> Callable[[], NDArray[np.bool_]]:
        """Asks which regions show something; what it returns answers, bool (M,): `has_texture` of pixels.py, each.

        Arguments as those of `crop`. Of frames on a device it is queued to be told, and the answer waits for that.
        """

    def crop(
        self,
        frames: Sequence[Any],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        """Square patches around centres: float32 (M, 3, size, size), BGR, mean removed, 0 outside the frame.

        sources: (M,), index into `frames` of the frame each patch comes from.
        centres, regions: (M, 2), (x, y) and (width, height), frame pixels. Pixel j of a patch of S lies at
        centre + (j - (S - 1) / 2) * region / S, sampled bilinearly. mean: float32 (3,), whole numbers, BGR.
        """

    def places(
        self,
        frames: Sequence[Any],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
    ) -> Where:
        """Where the patches lie that `crop` is asked for with the same arguments: M of them, as `cut` takes them."""

    def cut(self, where: Where, size: int, mean: NDArray[np.float32], dtype: DTypeLike = np.float32) -> Array:
        """The patches of `places`, as `crop` makes them of the same size; float16 holds the same numbers."""

    def remember(self, pipeline: Any, filters: Filters) -> Filters:
        """Filters of new targets as they are to be kept from frame to frame: themselves, or laid out by the backend."""

    def product(self, one: Array, other: Array) -> Array:
        """`one @ other`, float32 or complex64 both, (..., n, k) and (..., k, m), of which one is a single matrix."""

    def joined(self, arrays: Sequence[Array]) -> Array:
        """The arrays one after another along their first axis; a single one itself."""

    def respond(self, search_f: Array, filter_f: Array) -> Array:
        """Spectra of N filters' answers to S search spectra each (eq. 3): `dcf.respond`, complex64 (N, S, K, B+1).

        search_f: complex64 (N, S, C, K, B+1). filter_f: complex64 (N, C, K, B+1).
        """

    def blend(self, old: Array, new: Array, rate: float) -> Array:
        """`dcf.blend` of float32 (N, S, ...) towards (N, 1, ...), or of two of one shape."""

    def learning(self, label_f: Array, rate: float, regularisation: float, penalty: SpatialPenalty | None) -> Learning:
        """How filters learn here; see `Learning`."""

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array:
        """How often each bin of colours.py is in parts 1 and 2 of each patch: int32 (N, 2, BINS).

        patches: float32 or float16 (N, 3, S, S), BGR, mean taken off; every `step`th pixel is looked at, P along each
        axis. mean: float32 (3,). parts: int32 (P, P), 0, 1 or 2; what is 0 is not counted.
        """

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array:
        """How likely each such pixel is the target's, in [0, 1]: float32 (N, P, P).

        histograms: float32 (N, 2, BINS), of target and surroundings.
        """

    def read(self, maps: Array, placed: Array, penalty: float) -> tuple[NDArray[np.intp], Peak]:
        """Response maps float32 (N, S, R, R) -> winning scale (N,) and peaks: `read_maps` of response.py.

        With what `textured` answers the one point of synchronisation of a frame: the maps stay on the device, what is
        read of them does not.
        """

    def to_host(self, array: Array) -> NDArray[np.float32]:
        """Array of the device -> host array."""


def select(device: str) -> Backend:
    """Backend of `device`: "cpu", "cuda", or "auto", which is the GPU where CuPy and a GPU are there, else the CPU.

    Where CuPy is installed and cannot be used, "auto" warns of it once a process. Which of several GPUs is taken,
    CUDA_VISIBLE_DEVICES says, or the device that is CuPy's current one.
    Raises ConfigError for another name, and for "cuda" MissingDependencyError and DeviceError naming what is missing.
    """
    from dcfnet.cpu import CpuBackend

    if device not in DEVICES:
        told = "; which GPU it is, CUDA_VISIBLE_DEVICES says" if str(device).startswith("cuda") else ""
        raise ConfigError(f"no device {device!r}; there are {', '.join(DEVICES)}{told}")
    if device == "cpu" or (device == "auto" and find_spec("cupy") is None):
        return CpuBackend()
    try:
        from dcfnet.cuda import CudaBackend

        return CudaBackend()
    except (MissingDependencyError, DeviceError) as error:
        if device == "cuda":
            raise
        _warn(f"device='auto' is the CPU: {error}")
        return CpuBackend()


@cache
def _warn(told: str) -> None:
    """Warns of it, once a process."""
    warnings.warn(told, RuntimeWarning, stacklevel=5)  # where the Tracker is made
