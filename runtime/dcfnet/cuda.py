"""A CUDA device through CuPy, and the backend on it, the twin of cpu.py. The only importer of cupy.

Everything is queued on CuPy's current stream, and nothing here waits for it but `read`, `to_host` and `textured`. A
device belongs to the process, and to the GPU, that were current when it was opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.errors import DeviceError, InvalidFrameError, MissingDependencyError
from dcfnet.kernels import SOURCE, CudaFrame, Structures, grids, places, source
from dcfnet.pixels import FLAT_RANGE, check_frame, check_pixels, device_interface, has_texture
from dcfnet.reading import PeakReader, told
from dcfnet.response import Peak

try:
    import cupy
except Exception as error:  # a CuPy for another CUDA than there is raises what it likes
    raise MissingDependencyError("cupy", "cuda13", f"{error}; cuda12 or cuda13, in place of cpu") from error

THREADS = 256  # of a block: no kernel has more to share than the caches


class CudaDevice:
    """The GPU that was current when this was made: its memory, its kernels, and the current stream."""

    _opened_in: ClassVar[int | None] = None  # the process that CUDA was first opened in: its forks cannot use it

    def __init__(self) -> None:
        """Raises DeviceError naming what is missing, driver or GPU."""
        self._check_process()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"no GPU can be used: {error}; install NVIDIA's driver, or use device='cpu'") from error
        if not count:
            raise DeviceError("no GPU is there, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'")
        CudaDevice._opened_in = os.getpid()
        self.number = int(cupy.cuda.runtime.getDevice())

    def check(self) -> None:
        """Raises DeviceError in a forked process, and while another GPU is current."""
        self._check_process()
        current = int(cupy.cuda.runtime.getDevice())
        if current != self.number:
            raise DeviceError(
                f"opened on GPU {self.number}, used while GPU {current} is current; a tracker stays on its GPU"
            )

    @staticmethod
    def _check_process() -> None:
        if CudaDevice._opened_in not in (None, os.getpid()):
            raise DeviceError(
                f"CUDA was opened in process {CudaDevice._opened_in}, and this is a fork of it, {os.getpid()}, where "
                "it cannot be used; start workers with multiprocessing.get_context('spawn')"
            )

    @property
    def compute_capability(self) -> str:
        """Such as "8.6"."""
        digits = str(cupy.cuda.Device().compute_capability)
        return f"{digits[:-1]}.{digits[-1]}"

    @property
    def cuda(self) -> str:
        """Version of the CUDA runtime."""
        return _version(cupy.cuda.runtime.runtimeGetVersion())

    @property
    def driver(self) -> str:
        """Newest version of CUDA that the driver serves."""
        return _version(cupy.cuda.runtime.driverGetVersion())

    @property
    def stream(self) -> int:
        """Handle of the current stream."""
        return int(cupy.cuda.get_current_stream().ptr)

    def empty(self, shape: tuple[int, ...]) -> Array:
        """New float32 memory, aligned as CUDA aligns. Raises DeviceError where there is none left."""
        with _typed():
            return cupy.empty(shape, dtype=cupy.float32)

    def upload(self, values: NDArray[np.generic]) -> Array:
        """A host array on the device, contiguous: through pinned memory, queued. Raises DeviceError as `empty`."""
        with _typed():
            return cupy.asarray(np.ascontiguousarray(values))

    def copy(self, values: Array, to: Array) -> None:
        """Values of the host or of the device into memory of the device, queued on the stream."""
        to[...] = cupy.asarray(values)

    def address(self, array: Array) -> int:
        """Where the array lies on the device."""
        return int(array.data.ptr)

    def joined(self, arrays: list[Array]) -> Array:
        """The arrays one after another along their first axis."""
        return arrays[0] if len(arrays) == 1 else cupy.concatenate(arrays)

    def to_host(self, array: Array) -> NDArray[Any]:
        """The array on the host, once everything queued before has been done. Raises DeviceError where that failed."""
        with _typed():
            values: NDArray[Any] = cupy.asnumpy(array)
        return values

    def launch(self, kernel: str, threads: int, *arguments: Array | np.generic) -> None:
        """Queues a kernel of kernels.cu. arguments: arrays of the device, and numbers as NumPy's scalars."""
        with _typed():
            self.kernels.get_function(kernel)((-(-threads // THREADS),), (THREADS,), arguments)

    @cached_property
    def kernels(self) -> Any:
        """kernels.cu, compiled for this GPU; CuPy keeps what it compiled. Raises DeviceError where it cannot."""
        with _library(f"{SOURCE} cannot be compiled"):
            module = cupy.RawModule(code=source())
            module.compile()
        return module

    def prepare(self) -> None:
        """Loads what a tracker needs, so that what is missing is told at the start. Raises DeviceError."""
        self.kernels  # noqa: B018  # compiles them
        with _library("cuBLAS cannot be used"):
            cupy.cuda.cublas  # noqa: B018  # loads it


class CudaBackend:
    """Backend on CuPy; see `Backend` for layouts and units. One thread at a time, as a tracker."""

    name = "cuda"
    patches_at_once = 64  # bounds what lies between the convolutions: some 100 MB at 108 px; not measured

    def __init__(self, device: CudaDevice | None = None) -> None:
        """Raises DeviceError naming what is missing: driver, GPU, or CUDA's libraries."""
        self._device = device or CudaDevice()
        self._device.prepare()
        self._reader = PeakReader(self._device)

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return self._device.upload(values)

    def guarded(self) -> AbstractContextManager[None]:
        return _typed(cupy.cuda.cublas.CUBLASError)

    def frame(self, given: Any) -> Any:
        self._device.check()
        if isinstance(given, CudaFrame):
            return given
        interface = device_interface(given)
        if interface is None:
            host = check_frame(given)
            return CudaFrame(self._device.upload(host), host)
        return self._adopted(given, interface)

    def textured(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        seen = np.zeros(len(sources), dtype=np.bool_)
        for row, index in enumerate(sources):
            host = frames[index].host
            seen[row] = host is not None and has_texture(host, centres[row], regions[row])
        rows = np.flatnonzero([frames[index].host is None for index in sources])
        if len(rows):  # frames that were never on the host: one kernel, one small copy
            seen[rows] = self._contrasts(grids(frames, sources[rows], centres[rows], regions[rows])) > FLAT_RANGE
        return seen

    def crop(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
        size: int,
        mean: NDArray[np.float32],
    ) -> Array:
        count = len(centres)
        where = self._device.upload(places(frames, sources, centres, regions, size).view(np.uint8))
        patches = self._device.empty((count, 3, size, size))
        numbers = (np.int32(count), np.int32(size), *mean.astype(np.float32))
        self._device.launch("crop", count * size * size, where, patches, *numbers)
        return patches

    def read(self, maps: Array, penalty: float) -> tuple[NDArray[np.intp], Peak]:
        return told(self._device.to_host(self._reader(maps, penalty)))

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return self._device.to_host(array)

    def _adopted(self, given: Any, interface: dict[str, Any]) -> CudaFrame:
        """Another library's array as a frame, where it is, once what its stream has queued is done."""
        here = self._device.number
        try:
            if 0 in interface["shape"]:
                raise InvalidFrameError(f"frame is an empty array of shape {interface['shape']}", empty=True)
            place = int(cupy.cuda.runtime.pointerGetAttributes(interface["data"][0]).device)
            pixels = cupy.asarray(given) if place == here else None  # waits for the stream that the interface names
        except (InvalidFrameError, cupy.cuda.runtime.CUDARuntimeError):
            raise
        except Exception as error:  # of whatever made the array
            raise InvalidFrameError(f"frame cannot be read on the GPU: {error}") from error
        if pixels is None:
            raise InvalidFrameError(f"frame lies on GPU {place}, the tracker on GPU {here}; copy it there first")
        check_pixels(pixels)
        packed = pixels[0].flags.c_contiguous  # rows may lie at any pitch
        return CudaFrame(pixels if packed else cupy.ascontiguousarray(pixels))

    def _contrasts(self, asked: Structures) -> NDArray[np.int32]:
        """The widest range of levels of any colour over each grid, int32 (N,)."""
        found = np.zeros((len(asked), 2, 3), dtype=np.int32)
        found[:, 0] = 255  # a colour that there is not stays below any range
        levels, side = self._device.upload(found), int(max(asked["columns"].max(), asked["rows"].max()))
        if side:
            where, numbers = self._device.upload(asked.view(np.uint8)), (np.int32(len(asked)), np.int32(side))
            self._device.launch("extremes", len(asked) * side**2, where, levels, *numbers)
        low, high = np.moveaxis(self._device.to_host(levels), 1, 0)
        contrasts: NDArray[np.int32] = (high - low).max(axis=1)
        return contrasts


@contextmanager
def _library(told: str) -> Iterator[None]:
    """What a missing or failing library raises, as DeviceError."""
    try:
        yield
    except Exception as error:
        remedy = "CUDA's libraries come with: pip install 'cupy-cuda13x[ctk]'"
        raise DeviceError(f"{told}: {error}; {remedy}") from error


@contextmanager
def _typed(*others: type[Exception]) -> Iterator[None]:
    """What CUDA raises, and `others`, as DeviceError."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceError(
            f"the GPU has no memory left: {error}; track fewer targets, end what else runs there, or use device='cpu'"
        ) from error
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError, *others) as error:
        raise DeviceError(f"the GPU failed: {error}; what it held is lost, start the process anew") from error


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
