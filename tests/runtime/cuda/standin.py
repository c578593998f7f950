"""A stand-in for CuPy whose memory is the host's and whose kernels are the real ones, run by g++.

Its arrays are strict where CuPy's are: they have what the tracker uses and nothing else, and no operation takes an
array of the host beside one of the device, so that what would fail on a GPU fails here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.runtime.cuda.copies import HOST, Copies
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import CudaError, Graph, NoMemoryError, Pool, Step, Stream, alias

OPERATORS = ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv")  # cuBLAS is out of bounds: no matmul


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
        if isinstance(place, np.ndarray):  # its indices go to the device
            _now().refuse_while_capturing("a copy from the host")
            held = alias(self._held)
            return _made(lambda: held[place])
        return ndarray(self._held[place])

    def __setitem__(self, place: Any, value: Any) -> None:
        if isinstance(place, np.ndarray):
            _now().refuse_while_capturing("a copy from the host")
        held, given = alias(self._held), _inside(value)
        _now().do(lambda: held.__setitem__(place, given))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> ndarray:
        assert function is np.concatenate, function
        return concatenate(*args, **options)

    def view(self, dtype: Any) -> ndarray:
        assert self._held.flags.c_contiguous  # CuPy asks for it
        return ndarray(self._held.view(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        assert self._held.flags.c_contiguous  # else it is a copy
        return ndarray(self._held.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        held = alias(self._held)
        return self if held.dtype == dtype and not copy else _made(lambda: held.astype(dtype))

    @property
    def real(self) -> ndarray:
        return ndarray(self._held.real)

    @property
    def imag(self) -> ndarray:
        return ndarray(self._held.imag)


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **options: Any) -> Any:
        held, given = alias(self._held), [_inside(value) for value in args]
        return _made(lambda: getattr(held, name)(*given, **options))

    return method


for _name in ("sum", "mean", "conj", "clip", "copy"):
    setattr(ndarray, _name, _method(_name))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
ndarray.__array_ufunc__ = None  # type: ignore[attr-defined]  # a host array beside one of the device: TypeError


def _inside(value: Any) -> Any:
    """What lies behind an operand. An array of the host is none, as with CuPy; an index that is one is taken."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return alias(value._held) if isinstance(value, ndarray) else value


def _made(compute: Callable[[], Any]) -> ndarray:
    """A new array of what is computed, now, or each time that a graph is launched."""
    quiet = {"all": "ignore"} if _now().recording is not None else {}  # nothing was done upon what it reads
    with np.errstate(**quiet):
        values = np.asarray(compute())
    made = _now().allocate(values.shape, values.dtype)
    target = alias(made)
    if _now().recording is None:
        target[...] = values
    else:
        _now().do(lambda: np.copyto(target, compute()))
    return ndarray(made)


def concatenate(arrays: Any, axis: int = 0) -> ndarray:
    _now().refuse_while_capturing("a copy of addresses from the host")
    held = [_inside(array) for array in arrays]
    return _made(lambda: np.concatenate(held, axis))


# Its clocks, kHz, processors and bits, under the names that they are asked for by.
H100 = {
    "cudaDevAttrMultiProcessorCount": 132,
    "cudaDevAttrClockRate": 1_980_000,
    "cudaDevAttrMemoryClockRate": 2_619_000,
    "cudaDevAttrGlobalMemoryBusWidth": 5120,
}
_states: list[State] = []


def _now() -> State:
    """Of the stand-in that was made last."""
    return _states[-1]


def _of_a_thread(name: str, at_first: Callable[[Any], Any]) -> Any:
    """An attribute that every thread has its own of, as of CuPy's current stream."""

    def get(state: Any) -> Any:
        return vars(state._own).setdefault(name, at_first(state))

    return property(get, lambda state, value: setattr(state._own, name, value))


class State(SimpleNamespace):
    """What tests may look at and change.

    device, stream: the current ones. left: bytes that may still be allocated. places: GPUs of addresses that are not
    the first's. copies: from the host. chunks: what was allocated, and never more than was. taken: how often a pool
    was asked. recording: the steps of the graph that is captured. launched: the graphs that were, in order.
    """

    def __init__(self, memory: float) -> None:
        super().__init__(device=0, left=memory, places={}, _ends={})
        self.chunks: list[np.ndarray] = []
        self.taken, self.launched = 0, list[Graph]()
        self.copies, self._pool, self._own = Copies(self), Pool(self), local()

    stream = _of_a_thread("stream", lambda state: 0)
    recording = _of_a_thread("recording", lambda state: None)
    capturing = _of_a_thread("capturing", lambda state: None)  # the stream that does
    spoilt = _of_a_thread("spoilt", lambda state: False)
    malloc = _of_a_thread("malloc", lambda state: state._pool.malloc)

    def refuse_while_capturing(self, what: str) -> None:
        if self.recording is not None:
            self.spoilt = True
            raise CudaError(f"cudaErrorStreamCaptureUnsupported: {what}")

    def do(self, step: Step) -> None:
        """Queues it."""
        if self.recording is not None:
            self.recording.append(step)
        else:
            step()

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        held = np.asarray(self.malloc(size))[:size].view(dtype).reshape(shape)
        self._ends[held.ctypes.data] = held.ctypes.data + held.nbytes
        return held

    @contextmanager
    def using_allocator(self, malloc: Any) -> Iterator[None]:
        before, self.malloc = self.malloc, malloc
        try:
            yield
        finally:
            self.malloc = before

    def holds(self, address: int, size: int) -> bool:
        """Whether so many bytes from there are of one allocation."""
        return any(first <= address and address + size <= end for first, end in list(self._ends.items()))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> ndarray:
        """Filled so that what was never written shows."""
        held = self.allocate(shape, dtype)
        if self.recording is None:
            bytes_ = held.reshape(-1).view(np.uint8)
            bytes_[...] = 255 if np.dtype(dtype) != np.uint8 else np.arange(bytes_.size) * 97 % 251
        return ndarray(held, self.device)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> ndarray:
        held = self.allocate(shape, dtype)
        target = alias(held)
        self.do(lambda: target.fill(0))
        return ndarray(held, self.device)

    def asarray(self, values: Any) -> ndarray:
        if isinstance(values, ndarray):
            return values
        if hasattr(values, "__cuda_array_interface__"):
            return ndarray(_held(values.__cuda_array_interface__))
        self.refuse_while_capturing("a copy from the host")
        if values.size and self.copies.kind_of(values.ctypes.data) == HOST:
            self.copies.queue(values, self.stream)  # CuPy takes pinned memory as it is, and does not wait
        held = self.allocate(values.shape, values.dtype)
        held[...] = values
        return ndarray(held, self.device)

    def from_dlpack(self, given: Any) -> ndarray:
        """With the current stream, which the default one has the number 1 for; NumPy reads the capsule."""
        kind, _ = given.__dlpack_device__()
        assert kind in (2, 13), "CuPy takes no array of the host"
        capsule = given.__dlpack__(stream=self.stream or 1, max_version=(1, 0), copy=None)
        host = SimpleNamespace(__dlpack_device__=lambda: (1, 0), __dlpack__=lambda **_: capsule)
        return ndarray(np.from_dlpack(host), self.device)

    def ascontiguousarray(self, array: ndarray) -> ndarray:
        held = alias(array._held)
        return array if held.flags.c_contiguous else _made(lambda: np.ascontiguousarray(held))

    def asnumpy(self, array: ndarray) -> np.ndarray:
        self.refuse_while_capturing("a copy to the host")
        self.copies.waited(self.stream, self.copies.number)
        return array._held.copy()

    def attributes(self, address: int) -> Any:
        return SimpleNamespace(device=self.places.get(address, 0), type=self.copies.kind_of(address))


def standin(kernels: HostKernels, *, devices: int = 1, memory: float = float("inf")) -> Any:
    """The module. devices: GPUs that there are. memory: bytes that may be allocated, in all."""
    state = State(memory)
    _states[:] = [state]

    def launch(name: str) -> Any:
        def queue(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
            given = [_inside(value) for value in args]
            state.do(lambda: kernels.launch(name, grid[0], block[0], given, shared_mem))

        return queue

    def raw_module(code: str) -> Any:
        return SimpleNamespace(get_function=launch, compile=lambda: None)

    runtime = SimpleNamespace(
        CUDARuntimeError=CudaError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: state.device,
        pointerGetAttributes=state.attributes,
        memoryTypeHost=HOST,
        memcpyHostToDevice=1,
        memGetInfo=lambda: (1 << 33, 1 << 36),
        deviceGetPCIBusId=lambda number: "0000:01:00.0",
        deviceGetAttribute=lambda attribute, number: attribute,
        **H100,
        memcpyDeviceToHost=2,
        memcpyAsync=state.copies.memcpyAsync,
        memcpy2DAsync=state.copies.memcpy2DAsync,
        runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: 13010,
    )
    module: Any = ModuleType("cupy")
    module.state, module.ndarray, module.float32 = state, ndarray, np.float32
    module.empty, module.zeros, module.from_dlpack = state.empty, state.zeros, state.from_dlpack
    module.asarray, module.concatenate, module.RawModule = state.asarray, concatenate, raw_module
    module.asnumpy = state.asnumpy
    module.ascontiguousarray = state.ascontiguousarray
    module.cuda = SimpleNamespace(
        runtime=runtime,
        driver=SimpleNamespace(CUDADriverError=CudaError),
        memory=SimpleNamespace(OutOfMemoryError=NoMemoryError),
        alloc_pinned_memory=state.copies.alloc_pinned_memory,
        Event=state.copies.Event,
        get_elapsed_time=lambda begin, end: 2.0,
        get_current_stream=lambda: Stream(state, number=state.stream),
        Stream=lambda non_blocking=False: Stream(state, non_blocking),
        MemoryPool=lambda: Pool(state),
        using_allocator=state.using_allocator,
        Device=lambda: Device(state),
    )
    return module


class Device:
    """In place of CuPy's: the one that is current."""

    compute_capability = "86"

    def __init__(self, state: State) -> None:
        self._state, self._number, self._before = state, state.device, list[int]()

    def __enter__(self) -> Device:
        self._before.append(self._state.device)
        self._state.device = self._number
        return self

    def __exit__(self, *_: object) -> None:
        self._state.device = self._before.pop()


def _held(interface: dict[str, Any]) -> np.ndarray:
    """The memory that an interface speaks of."""
    return np.asarray(SimpleNamespace(__array_interface__={**interface, "version": 3}))
