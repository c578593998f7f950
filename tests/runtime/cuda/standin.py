"""A stand-in for CuPy whose memory is the host's and whose kernels are kernels.cu run by g++.

Its arrays are strict where CuPy's are: they have what the tracker uses and nothing else, and no operation takes an
array of the host beside one of the device, so that what would fail on a GPU fails here.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

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


def standin(kernels: HostKernels, *, devices: int = 1, memory: float = float("inf")) -> Any:
    """The module. devices: GPUs that there are. memory: bytes that may be allocated, in all."""
    state = SimpleNamespace(device=0, left=memory, places={}, stream=0)

    def take(held: np.ndarray) -> ndarray:
        state.left -= held.nbytes
        if state.left < 0:
            raise NoMemoryError(f"Out of memory allocating {held.nbytes} bytes")
        return ndarray(held, state.device)

    def asarray(values: Any) -> ndarray:
        if isinstance(values, ndarray):
            return values
        if hasattr(values, "__cuda_array_interface__"):
            return ndarray(_held(values.__cuda_array_interface__))
        return take(np.array(values, copy=True, order="C"))

    def launch(name: str) -> Any:
        return lambda grid, block, args: kernels.launch(name, grid[0], block[0], [_raw(value) for value in args])

    def raw_module(code: str) -> Any:
        return SimpleNamespace(get_function=launch, compile=lambda: None)

    def attributes(pointer: int) -> Any:
        return SimpleNamespace(device=state.places.get(pointer, 0))

    runtime = SimpleNamespace(
        CUDARuntimeError=CudaError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: state.device,
        pointerGetAttributes=attributes,
        runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: 13010,
    )
    module: Any = ModuleType("cupy")
    module.state, module.ndarray, module.float32 = state, ndarray, np.float32
    module.empty = lambda shape, dtype: take(np.full(shape, np.nan, dtype=dtype))
    module.asarray, module.concatenate, module.RawModule = asarray, concatenate, raw_module
    module.asnumpy = lambda array: array._held.copy()
    module.ascontiguousarray = lambda array: ndarray(np.ascontiguousarray(array._held))
    module.cuda = SimpleNamespace(
        runtime=runtime,
        driver=SimpleNamespace(CUDADriverError=CudaError),
        cublas=SimpleNamespace(CUBLASError=CublasError),
        memory=SimpleNamespace(OutOfMemoryError=NoMemoryError),
        get_current_stream=lambda: SimpleNamespace(ptr=state.stream),
        Device=lambda: SimpleNamespace(compute_capability="86"),
    )
    return module


def _held(interface: dict[str, Any]) -> np.ndarray:
    """The memory that an interface speaks of."""
    return np.asarray(SimpleNamespace(__array_interface__={**interface, "version": 3}))


def _raw(value: Any) -> Any:
    return value._held if isinstance(value, ndarray) else value
