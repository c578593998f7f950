"""A CUDA device through CuPy: its memory, its kernels, and the current stream. The only importer of cupy.

Everything is queued on CuPy's current stream, and nothing here waits for it but `wait`, `to_host`, `constant` and
`apart`. A device belongs to the process, and to the GPU, that were current when it was opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.errors import DeviceError, MissingDependencyError
from dcfnet.faults import Typed, library
from dcfnet.kernels import SOURCES, source

try:
    import cupy
except Exception as error:  # a CuPy for another CUDA than there is raises what it likes
    raise MissingDependencyError("cupy", "cuda13", f"{error}; cuda12 or cuda13, in place of cpu") from error

_typed = Typed(cupy)
THREADS = 256  # of a block of `launch`, whose kernels share no more than the caches


class CudaDevice:
    """The GPU that was current when this was made: its memory, its kernels, and the current stream."""

    _opened_in: ClassVar[int | None] = None  # the process that CUDA was first opened in: its forks cannot use it

    def __init__(self) -> None:
        """Raises DeviceError naming what is missing, driver or GPU."""
        self._check_process()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"no GPU can be used: {error}{_served()}; install NVIDIA's driver, or use device='cpu'"
            ) from error
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

    def attribute(self, name: str) -> int:
        """Of the GPU, by the end of its name in CUDA, such as "MultiProcessorCount"."""
        asked = getattr(cupy.cuda.runtime, f"cudaDevAttr{name}")
        return int(cupy.cuda.runtime.deviceGetAttribute(asked, self.number))

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
        with _typed:
            return cupy.empty(shape, dtype=dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """New memory as `empty`, all zero."""
        with _typed:
            return cupy.zeros(shape, dtype=dtype)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """New memory of the host that the GPU copies by itself, from and to, uint8 (size,). Raises as `empty`."""
        with _typed:
            return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def pins(self, array: NDArray[np.uint8]) -> bool:
        """Whether an array of the host, uint8 (h, w), not empty, bytes of a row side by side, is pinned end to end."""
        first, further = array.ctypes.data, (len(array) - 1) * array.strides[0] + array.shape[1] - 1
        with _typed:
            kinds = [cupy.cuda.runtime.pointerGetAttributes(end).type for end in (first, first + further)]
        return kinds == [cupy.cuda.runtime.memoryTypeHost] * 2

    def copy_rows(self, rows: NDArray[np.uint8], to: int, pitch: int) -> None:
        """Queues a copy of pinned rows, uint8 (h, w), to an address of the device, its rows `pitch` bytes apart."""
        (height, width), start = rows.shape, rows.ctypes.data
        kind = cupy.cuda.runtime.memcpyHostToDevice
        with _typed:
            cupy.cuda.runtime.memcpy2DAsync(to, pitch, start, rows.strides[0], width, height, kind, self.stream)

    def wait(self) -> None:
        """Until all that was queued on the current stream has been done. Raises DeviceError where that failed."""
        with _typed:
            cupy.cuda.get_current_stream().synchronize()

    def event(self) -> Any:
        """A mark to be recorded in the current stream, and waited for; passed where it was never recorded."""
        with _typed:
            return cupy.cuda.Event(disable_timing=True)

    def upload(self, values: NDArray[np.generic]) -> Array:
        """A host array on the device, contiguous: through pinned memory, queued. Raises DeviceError as `empty`."""
        with _typed:
            return cupy.asarray(np.ascontiguousarray(values))

    def constant(self, values: NDArray[np.generic]) -> Array:
        """As `upload`, and there for every stream: waits for it. Not while a graph is captured."""
        array = self.upload(values)
        self.wait()
        return array

    def copy(self, values: Array, to: Array) -> None:
        """Values of the host or of the device into memory of the device, queued on the stream."""
        to[...] = cupy.asarray(values)

    def address(self, array: Array) -> int:
        """Where the array lies on the device."""
        return int(array.data.ptr)

    def contiguous(self, array: Array) -> Array:
        """The array itself, or a copy that is contiguous."""
        return array if array.flags.c_contiguous else cupy.ascontiguousarray(array)

    def joined(self, arrays: Sequence[Array]) -> Array:
        """The arrays one after another along their first axis."""
        if len(arrays) == 1:
            return arrays[0]
        # cupy.concatenate sends addresses from the host where there are many, which no captured graph may do
        whole = cupy.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        for start, array in zip(np.cumsum([0, *map(len, arrays)]), arrays, strict=False):
            whole[int(start) : int(start) + len(array)] = array
        return whole

    def place_of(self, address: int) -> int:
        """Number of the GPU that the address lies on."""
        with _typed:
            return int(cupy.cuda.runtime.pointerGetAttributes(address).device)

    def taken(self, given: Any) -> Array:
        """Another library's array of this GPU, where it is: by DLPack, whose producer lets our stream wait for its own;
        else by its interface, whose stream the host waits for, if it names one.
        """
        shared = hasattr(given, "__dlpack_device__") and not isinstance(given, cupy.ndarray)
        with _typed:
            return cupy.from_dlpack(given) if shared else cupy.asarray(given)

    def packed(self, pixels: Array) -> Array:
        """The pixels, copied where those of a row do not lie side by side; rows may lie at any pitch."""
        return pixels if pixels[0].flags.c_contiguous else cupy.ascontiguousarray(pixels)

    def to_host(self, array: Array) -> NDArray[Any]:
        """The array on the host, once everything queued before has been done. Raises DeviceError where that failed."""
        with _typed:
            values: NDArray[Any] = cupy.asnumpy(array)
        return values

    def fetch(self, array: Array, to: NDArray[Any]) -> None:
        """Queues a copy of a contiguous array to pinned memory of as many bytes, which holds it after `wait`."""
        with _typed:
            kind = cupy.cuda.runtime.memcpyDeviceToHost
            cupy.cuda.runtime.memcpyAsync(to.ctypes.data, array.data.ptr, to.nbytes, kind, self.stream)

    def launch(self, kernel: str, threads: int, *arguments: Array | np.generic) -> None:
        """Queues a kernel. arguments: arrays of the device, and numbers as NumPy's scalars."""
        self.launch_blocks(kernel, -(-threads // THREADS), THREADS, 0, *arguments)

    def launch_blocks(self, kernel: str, blocks: int, threads: int, shared: int, *given: Array | np.generic) -> None:
        """As `launch`, in so many blocks of so many threads, each with `shared` bytes of memory of its own."""
        with _typed:
            self.kernels.get_function(kernel)((blocks,), (threads,), given, shared_mem=shared)

    def current_stream(self) -> Any:
        """The stream that everything is queued on now; streams compare."""
        return cupy.cuda.get_current_stream()

    def carried(self) -> AbstractContextManager[None]:
        """The GPU and the stream that are current, to be entered once in another thread."""
        gpu, stream = cupy.cuda.Device(), cupy.cuda.get_current_stream()

        @contextmanager
        def there() -> Iterator[None]:
            with _typed, gpu, stream:
                yield

        return there()

    def pool(self) -> Any:
        """Memory apart: what is freed of it goes back there, and to nobody else."""
        return cupy.cuda.MemoryPool()

    @contextmanager
    def apart(self, pool: Any) -> Iterator[Any]:
        """Within, all is queued on a new stream, which is given, with memory of `pool`; waits before and after."""
        with _typed:
            stream = cupy.cuda.Stream(non_blocking=True)
            cupy.cuda.get_current_stream().synchronize()
            with cupy.cuda.using_allocator(pool.malloc), stream:
                yield stream
                stream.synchronize()

    @cached_property
    def kernels(self) -> Any:
        """The kernels, compiled for this GPU; CuPy keeps what it compiled. Raises DeviceError where it cannot."""
        with library(f"{SOURCES[0]} cannot be compiled"):
            module = cupy.RawModule(code=source())
            module.compile()
        return module

    def prepare(self) -> None:
        """Compiles what a tracker needs, so that what is missing is told at the start. Raises DeviceError."""
        self.kernels  # noqa: B018

    def guarded(self) -> AbstractContextManager[None]:
        """Within, what CUDA raises comes out as DeviceError."""
        return _typed


def _served() -> str:
    """What the driver serves beside what CuPy was made for, where there is a driver at all."""
    with suppress(cupy.cuda.runtime.CUDARuntimeError):
        if number := cupy.cuda.runtime.driverGetVersion():
            made_for = _version(cupy.cuda.runtime.runtimeGetVersion())
            return f"; the driver serves CUDA {_version(number)}, CuPy is made for {made_for}"
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
