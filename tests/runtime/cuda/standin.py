"""A stand-in for CuPy whose memory is the host's and whose kernels are kernels.cu run by g++.

Its arrays are strict where CuPy's are: they have what the tracker uses and nothing else, and no operation takes an
array of the host beside one of the device, so that what would fail on a GPU fails here.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.runtime.cuda.copies import HOST, Copies
from tests.runtime.cuda.host import HostKernels

OPERATORS = ("add", "sub", "mul", "truediv", "matmul", "radd", "rsub", "rmul", "rtruediv", "rmatmul")


class CudaError(RuntimeError):
    """In place of CUDARuntimeError."""


class CublasError(RuntimeError):
    """In place of CUBLASError."""


class NoMemoryError(MemoryError):
    """In place of OutOfMemoryError."""


class ndarray:  # noqa: N801  # CuPy's name
    """An array of the device."""

    def __init__(self, held: np.ndarray, device: int = 0) -> None:
        self._held, self._device = held, device
        self.shape, self.dtype, self.ndim, self.strides = held.shape, held.dtype, held.ndim, held.strides
        self.data = SimpleNamespace(ptr=held.ctypes.data)
        self.flags = SimpleNamespace(c_contiguous=held.flags.c_contiguous)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        pointer, strides = (self._held.ctypes.data, False), self._held.strides
        return {"shape": self.shape, "typestr": self.dtype.str, "data": pointer, "strides": strides, "version": 3}

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, place: Any) -> ndarray:
        return ndarray(self._held[place])

    def __setitem__(self, place: Any, value: Any) -> None:
        self._held[place] = _inside(value)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> ndarray:
        assert function is np.concatenate, function
        return concatenate(*args, **options)

    def view(self, dtype: Any) -> ndarray:
        assert self._held.flags.c_contiguous  # CuPy asks for it
        return ndarray(self._held.view(dtype))

    @property
    def real(self) -> ndarray:
        return ndarray(self._held.real)

    @property
    def imag(self) -> ndarray:
        return ndarray(self._held.imag)


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **options: Any) -> Any:
        return ndarray(np.asarray(getattr(self._held, name)(*map(_inside, args), **options)))

    return method


for _name in ("sum", "mean", "conj", "clip", "copy", "reshape"):
    setattr(ndarray, _name, _method(_name))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
ndarray.__array_ufunc__ = None  # type: ignore[attr-defined]  # a host array beside one of the device: TypeError


def _inside(value: Any) -> Any:
    """What lies behind an operand. An array of the host is none, as with CuPy; an index that is one is taken."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value._held if isinstance(value, ndarray) else value


def concatenate(arrays: Any, axis: int = 0) -> ndarray:
    return ndarray(np.concatenate([_inside(array) for array in arrays], axis))


class State(SimpleNamespace):
    """What tests may look at and change.

    device, stream: the current ones. left: bytes that may still be allocated. places: GPUs of addresses that are not
    the first's. copies: from the host.
    """

    def __init__(self, memory: float) -> None:
        super().__init__(device=0, stream=0, left=memory, places={}, _ends={})
        self.copies = Copies(self)

    def take(self, held: np.ndarray) -> ndarray:
        self.left -= held.nbytes
        if self.left < 0:
            raise NoMemoryError(f"Out of memory allocating {held.nbytes} bytes")
        self._ends[held.ctypes.data] = held.ctypes.data + held.nbytes
        return ndarray(held, self.device)

    def holds(self, address: int, size: int) -> bool:
        """Whether so many bytes from there are of one allocation."""
        return any(first <= address and address + size <= end for first, end in list(self._ends.items()))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> ndarray:
        """Filled so that what was never written shows."""
        if np.dtype(dtype) != np.uint8:
            return self.take(np.full(shape, np.nan, dtype=dtype))
        return self.take(np.random.default_rng(len(self._ends)).integers(0, 256, size=shape, dtype=np.uint8))

    def asarray(self, values: Any) -> ndarray:
        if isinstance(values, ndarray):
            return values
        if hasattr(values, "__cuda_array_interface__"):
            return ndarray(_held(values.__cuda_array_interface__))
        if values.size and self.copies.kind_of(values.ctypes.data) == HOST:
            self.copies.queue(values, self.stream)  # CuPy takes pinned memory as it is, and does not wait
        return self.take(np.array(values, copy=True, order="C"))

    def from_dlpack(self, given: Any) -> ndarray:
        """With the current stream, which the default one has the number 1 for; NumPy reads the capsule."""
        kind, _ = given.__dlpack_device__()
        assert kind in (2, 13), "CuPy takes no array of the host"
        capsule = given.__dlpack__(stream=self.stream or 1, max_version=(1, 0), copy=None)
        host = SimpleNamespace(__dlpack_device__=lambda: (1, 0), __dlpack__=lambda **_: capsule)
        return ndarray(np.from_dlpack(host), self.device)

    def synchronize(self) -> None:
        self.copies.waited(self.stream, self.copies.number)

    def asnumpy(self, array: ndarray) -> np.ndarray:
        self.synchronize()
        return array._held.copy()

    def attributes(self, address: int) -> Any:
        return SimpleNamespace(device=self.places.get(address, 0), type=self.copies.kind_of(address))


def standin(kernels: HostKernels, *, devices: int = 1, memory: float = float("inf")) -> Any:
    """The module. devices: GPUs that there are. memory: bytes that may be allocated, in all."""
    state = State(memory)

    def launch(name: str) -> Any:
        return lambda grid, block, args: kernels.launch(name, grid[0], block[0], [_raw(value) for value in args])

    def raw_module(code: str) -> Any:
        return SimpleNamespace(get_function=launch, compile=lambda: None)

    runtime = SimpleNamespace(
        CUDARuntimeError=CudaError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: state.device,
        pointerGetAttributes=state.attributes,
        memoryTypeHost=HOST,
        memcpyHostToDevice=1,
        memcpy2DAsync=state.copies.memcpy2DAsync,
        runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: 13010,
    )
    module: Any = ModuleType("cupy")
    module.state, module.ndarray, module.float32 = state, ndarray, np.float32
    module.empty, module.from_dlpack = state.empty, state.from_dlpack
    module.asarray, module.concatenate, module.RawModule = state.asarray, concatenate, raw_module
    module.asnumpy = state.asnumpy
    module.ascontiguousarray = lambda array: ndarray(np.ascontiguousarray(array._held))
    module.cuda = SimpleNamespace(
        runtime=runtime,
        driver=SimpleNamespace(CUDADriverError=CudaError),
        cublas=SimpleNamespace(CUBLASError=CublasError),
        memory=SimpleNamespace(OutOfMemoryError=NoMemoryError),
        alloc_pinned_memory=state.copies.alloc_pinned_memory,
        Event=state.copies.Event,
        get_current_stream=lambda: SimpleNamespace(ptr=state.stream, synchronize=state.synchronize),
        Device=lambda: SimpleNamespace(compute_capability="86"),
    )
    return module


def _held(interface: dict[str, Any]) -> np.ndarray:
    """The memory that an interface speaks of."""
    return np.asarray(SimpleNamespace(__array_interface__={**interface, "version": 3}))


def _raw(value: Any) -> Any:
    return value._held if isinstance(value, ndarray) else value
