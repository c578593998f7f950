"""A CUDA device through CuPy, and the backend on it, the twin of cpu.py. The only importer of cupy.

Everything is queued on CuPy's current stream, and nothing here waits for it but `to_host` and `textured`. A device
belongs to the process, and to the GPU, that were current when it was opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from threading import RLock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.adoption import adopted
from dcfnet.backend import Array
from dcfnet.errors import DeviceError, MissingDependencyError
from dcfnet.faults import library, typed
from dcfnet.kernels import SOURCE, CudaFrame, need, places, source
from dcfnet.texture import textured
from dcfnet.uploads import Uploads

try:
    import cupy
except Exception as error:  # a CuPy for another CUDA than there is raises what it likes
    raise MissingDependencyError("cupy", "cuda13", f"{error}; cuda12 or cuda13, in place of cpu") from error

_typed = partial(typed, cupy)
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

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """New memory, aligned as CUDA aligns. Raises DeviceError where there is none left."""
        with _typed():
            return cupy.empty(shape, dtype=dtype)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """New memory of the host that the GPU copies from by itself, uint8 (size,). Raises DeviceError as `empty`."""
        with _typed():
            return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def pins(self, array: NDArray[np.uint8]) -> bool:
        """Whether the array of the host, two-dimensional and not empty, lies in pinned memory from end to end."""
        ends = (array.ctypes.data, array[-1:, -1:].ctypes.data)
        with _typed():
            kinds = [cupy.cuda.runtime.pointerGetAttributes(end).type for end in ends]
        return kinds == [cupy.cuda.runtime.memoryTypeHost] * 2

    def copy_rows(self, rows: NDArray[np.uint8], to: int, pitch: int) -> None:
        """Queues a copy of pinned rows, uint8 (h, w), to an address of the device, its rows `pitch` bytes apart."""
        (height, width), start = rows.shape, rows.ctypes.data
        kind = cupy.cuda.runtime.memcpyHostToDevice
        with _typed():
            cupy.cuda.runtime.memcpy2DAsync(to, pitch, start, rows.strides[0], width, height, kind, self.stream)

    def wait(self) -> None:
        """Until all that was queued on the current stream has been done. Raises DeviceError where that failed."""
        with _typed():
            cupy.cuda.get_current_stream().synchronize()

    def event(self) -> Any:
        """A mark to be recorded in the current stream, and waited for; passed where it was never recorded."""
        with _typed():
            return cupy.cuda.Event(disable_timing=True)

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

    def place_of(self, address: int) -> int:
        """Number of the GPU that the address lies on."""
        with _typed():
            return int(cupy.cuda.runtime.pointerGetAttributes(address).device)

    def taken(self, given: Any) -> Array:
        """Another library's array of this GPU, where it is: by DLPack, whose producer lets our stream wait for its own;
        else by its interface, whose stream the host waits for, if it names one.
        """
        shared = hasattr(given, "__dlpack_device__") and not isinstance(given, cupy.ndarray)
        with _typed():
            return cupy.from_dlpack(given) if shared else cupy.asarray(given)

    def packed(self, pixels: Array) -> Array:
        """The pixels, copied where those of a row do not lie side by side; rows may lie at any pitch."""
        return pixels if pixels[0].flags.c_contiguous else cupy.ascontiguousarray(pixels)

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
        with library(f"{SOURCE} cannot be compiled"):
            module = cupy.RawModule(code=source())
            module.compile()
        return module

    def prepare(self) -> None:
        """Loads what a tracker needs, so that what is missing is told at the start. Raises DeviceError."""
        self.kernels  # noqa: B018  # compiles them
        with library("cuBLAS cannot be used"):
            cupy.cuda.cublas  # noqa: B018  # loads it


class CudaBackend:
    """Backend on CuPy; see `Backend` for layouts and units. One thread at a time, which `guarded` sees to."""

    name = "cuda"
    patches_at_once = 64  # bounds what lies between the convolutions: some 100 MB at 108 px; not measured

    def __init__(self, device: CudaDevice | None = None) -> None:
        """Raises DeviceError naming what is missing: driver, GPU, or CUDA's libraries."""
        self._device = device or CudaDevice()
        self._device.prepare()
        self._uploads = Uploads(self._device)
        self._turn = RLock()  # threads that share a tracker, or a pipeline, go one after another

    def asarray(self, values: NDArray[np.generic]) -> Array:
        return self._device.upload(values)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with self._turn, _typed(cupy.cuda.cublas.CUBLASError):
            try:
                yield
            finally:
                self._uploads.settle()

    def frame(self, given: Any) -> CudaFrame:
        self._device.check()
        return adopted(self._device, self._uploads, given)

    def textured(
        self,
        frames: Sequence[CudaFrame],
        sources: NDArray[np.intp],
        centres: NDArray[np.float64],
        regions: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        seen = textured(self._device, frames, sources, centres, regions)
        need(frames, sources[seen], centres[seen], regions[seen])  # all at once, and while the rest is made ready
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
        need(frames, sources, centres, regions)
        where = self._device.upload(places(frames, sources, centres, regions, size).view(np.uint8))
        patches = self._device.empty((count, 3, size, size))
        numbers = (np.int32(count), np.int32(size), *mean.astype(np.float32))
        self._device.launch("crop", count * size * size, where, patches, *numbers)
        return patches

    def to_host(self, array: Array) -> NDArray[np.float32]:
        return self._device.to_host(array)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
