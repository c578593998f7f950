"""A CUDA device through CuPy: its memory, its kernels, and the current stream. Only this module imports CuPy.

All work is queued on CuPy's current stream. Only `wait`, `to_host`, `constant` and `capture_stream` wait for it.
A device belongs to the process and to the GPU that were current when it was opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.cuda.description import GpuDescription, driver_versions
from dcfnet.devices.cuda.errors import CudaErrors
from dcfnet.devices.cuda.fft_plans import FftPlans
from dcfnet.devices.cuda.kernels.program import TRACKER, Program
from dcfnet.devices.cuda.modules import Modules
from dcfnet.errors import DeviceError, MissingDependencyError
from dcfnet.filter.dcf import Array

try:
    import cupy
except Exception as error:  # a CuPy for another version of CUDA raises many types
    raise MissingDependencyError("cupy", "cuda13", f"{error}; use cuda12 or cuda13 instead of cpu") from error

_errors = CudaErrors(cupy)
THREADS = 256  # threads per block of `launch`, whose kernels use no shared memory


class CudaDevice(GpuDescription):
    """The GPU that is current when this is made: its memory, its kernels, and the current stream."""

    _opened_in: ClassVar[int | None] = None  # the process that opened CUDA: its forks cannot use CUDA

    def __init__(self) -> None:
        """Raises DeviceError if the driver or the GPU is missing; the message names which."""
        self._check_process()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            remedy = "install NVIDIA's driver, or use device='cpu'"
            raise DeviceError(f"no GPU can be used: {error}{driver_versions(cupy)}; {remedy}") from error
        if not count:
            raise DeviceError("there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'")
        CudaDevice._opened_in = os.getpid()
        super().__init__(cupy, int(cupy.cuda.runtime.getDevice()))
        self._kernels = Modules(cupy)
        self.pinned_type = int(cupy.cuda.runtime.memoryTypeHost)  # of pinned memory, in `pointer`

    def check(self) -> None:
        """Raises DeviceError in a forked process, and while another GPU is current."""
        self._check_process()
        current = int(cupy.cuda.runtime.getDevice())
        if current != self.number:
            raise DeviceError(
                f"the tracker was created on GPU {self.number}, but GPU {current} is current now; "
                f"make GPU {self.number} current"
            )

    @staticmethod
    def _check_process() -> None:
        if CudaDevice._opened_in not in (None, os.getpid()):
            raise DeviceError(
                f"process {CudaDevice._opened_in} opened CUDA; process {os.getpid()} is a fork of it and cannot use "
                "CUDA; start workers with multiprocessing.get_context('spawn')"
            )

    @property
    def stream(self) -> int:
        """Handle of the current stream."""
        return int(cupy.cuda.get_current_stream().ptr)

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """New device memory, aligned as CUDA aligns it. Raises DeviceError if there is none left."""
        with _errors:
            return cupy.empty(shape, dtype=dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """New device memory as from `empty`, all zeros."""
        with _errors:
            return cupy.zeros(shape, dtype=dtype)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """New pinned host memory, uint8 (size,). Raises as `empty` does."""
        with _errors:
            return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def copy_rows(self, rows: NDArray[np.uint8], to: int, pitch: int) -> None:
        """Queues a copy of pinned rows, uint8 (h, w), to a device address, its rows `pitch` bytes apart."""
        (height, width), start = rows.shape, rows.ctypes.data
        kind = cupy.cuda.runtime.memcpyHostToDevice
        with _errors:
            cupy.cuda.runtime.memcpy2DAsync(to, pitch, start, rows.strides[0], width, height, kind, self.stream)

    def send(self, values: NDArray[np.uint8], to: Array) -> None:
        """Queues a copy of pinned bytes to a contiguous array of the same size. A captured graph may contain it."""
        kind = cupy.cuda.runtime.memcpyHostToDevice
        with _errors:
            cupy.cuda.runtime.memcpyAsync(to.data.ptr, values.ctypes.data, values.nbytes, kind, self.stream)

    def wait(self) -> None:
        """Waits for all work on the current stream. Raises DeviceError if it failed."""
        with _errors:
            cupy.cuda.get_current_stream().synchronize()

    def event(self) -> Any:
        """A CUDA event. `record` uses the current stream. A wait for an unrecorded event returns at once."""
        with _errors:
            return cupy.cuda.Event(disable_timing=True)

    def upload(self, values: NDArray[np.generic]) -> Array:
        """A host array on the device, contiguous; queued, through pinned memory. Raises DeviceError as `empty` does."""
        with _errors:
            return cupy.asarray(np.ascontiguousarray(values))

    def constant(self, values: NDArray[np.generic]) -> Array:
        """As `upload`, but waits, so that every stream may use the array. Not possible during a capture."""
        array = self.upload(values)
        self.wait()
        return array

    def copy(self, values: Array, to: Array) -> None:
        """Queues a copy of host or device values to device memory."""
        to[...] = cupy.asarray(values)

    def address(self, array: Array) -> int:
        """The device address of an array."""
        return int(array.data.ptr)

    def contiguous(self, array: Array) -> Array:
        """The array itself, or a contiguous copy."""
        return array if array.flags.c_contiguous else cupy.ascontiguousarray(array)

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        """The arrays, concatenated along their first axis."""
        if len(arrays) == 1:
            return arrays[0]
        # cupy.concatenate copies many addresses from the host, which a captured graph cannot do.
        whole = cupy.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        for start, array in zip(np.cumsum([0, *map(len, arrays)]), arrays, strict=False):
            whole[int(start) : int(start) + len(array)] = array
        return whole

    def stack(self, arrays: Sequence[Array]) -> Array:
        """Arrays of one shape, stacked along a new second axis; see `concatenate`."""
        whole = cupy.empty((len(arrays[0]), len(arrays), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        for index, array in enumerate(arrays):
            whole[:, index] = array
        return whole

    def pointer(self, address: int) -> Any:
        """What CUDA knows about an address: device (number of its GPU), type, and devicePointer."""
        with _errors:
            return cupy.cuda.runtime.pointerGetAttributes(address)

    @staticmethod
    def gpu_of(array: Any) -> int | None:
        """Number of the GPU that an array of CuPy is on; None for any other object."""
        return int(array.data.device_id) if isinstance(array, cupy.ndarray) else None

    def shared(self, given: Any) -> Array:
        """An array of another library on this GPU, without a copy.

        With DLPack, the current stream waits for the producer's stream. Otherwise the host waits for the stream that
        `__cuda_array_interface__` names.
        """
        dlpack = hasattr(given, "__dlpack_device__") and not isinstance(given, cupy.ndarray)
        with _errors:
            return cupy.from_dlpack(given) if dlpack else cupy.asarray(given)

    def with_contiguous_rows(self, pixels: Array) -> Array:
        """The pixels, or a copy if the pixels of a row are not contiguous. Rows may have any pitch."""
        packed = tuple(pixels.strides[1:]) == ((1,) if pixels.ndim == 2 else (pixels.shape[2], 1))
        return pixels if packed else cupy.ascontiguousarray(pixels)

    def to_host(self, array: Array) -> NDArray[Any]:
        """The array on the host. Waits for all queued work; raises DeviceError if it failed."""
        with _errors:
            return cupy.asnumpy(array)  # type: ignore[no-any-return]

    def fetch(self, array: Array, to: NDArray[Any]) -> None:
        """Queues a copy of a contiguous array to pinned memory of the same size, which is valid after `wait`."""
        with _errors:
            kind = cupy.cuda.runtime.memcpyDeviceToHost
            cupy.cuda.runtime.memcpyAsync(to.ctypes.data, array.data.ptr, to.nbytes, kind, self.stream)

    def launch(self, kernel: str, threads: int, *arguments: Array | np.generic) -> None:
        """Queues a kernel of the tracker. arguments: device arrays, and numbers as NumPy scalars."""
        self.launch_blocks(kernel, -(-threads // THREADS), THREADS, 0, *arguments)

    def launch_blocks(
        self,
        kernel: str,
        blocks: int,
        threads: int,
        shared: int,
        *given: Array | np.generic,
        program: Program = TRACKER,
    ) -> None:
        """As `launch`, with a number of blocks and of threads per block. shared: bytes of shared memory per block."""
        with _errors:
            self._kernels.function(program, kernel)((blocks,), (threads,), given, shared_mem=shared)

    def compile(self) -> None:
        """Compiles the tracker's kernels, so that a missing library is reported at the start. Raises DeviceError."""
        self._kernels.compile(TRACKER)

    def current_stream(self) -> Any:
        """The current stream. Streams can be compared with `==`."""
        return cupy.cuda.get_current_stream()

    def thread_context(self) -> AbstractContextManager[None]:
        """The current GPU and stream, as a context that another thread enters once."""
        gpu, stream = cupy.cuda.Device(), cupy.cuda.get_current_stream()

        @contextmanager
        def context() -> Iterator[None]:
            with _errors, gpu, stream:
                yield

        return context()

    def pool(self) -> Any:
        """A new memory pool. Memory that is freed returns to this pool, so no other code gets it."""
        return cupy.cuda.MemoryPool()

    def fft_plans(self) -> FftPlans:
        """An owner of plans of cuFFT, without plans."""
        return FftPlans(cupy)

    @contextmanager
    def capture_stream(self, pool: Any) -> Iterator[Any]:
        """A context with a new current stream, and with memory of `pool`. Waits at its start and at its end."""
        with _errors:
            stream = cupy.cuda.Stream(non_blocking=True)
            cupy.cuda.get_current_stream().synchronize()
            with cupy.cuda.using_allocator(pool.malloc), stream:
                try:
                    yield stream
                finally:  # also after an error: copies from pinned memory may still run
                    stream.synchronize()

    def guarded(self) -> AbstractContextManager[None]:
        """A context in which errors of CUDA raise DeviceError."""
        return _errors
