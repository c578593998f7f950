"""A stand-in for CuPy. Its memory is host memory, and its kernels are the real ones, compiled by g++.

Its arrays are as strict as CuPy's: they have only the operations that the tracker uses, and no operation accepts a host
array beside a device array. So code that would fail on a GPU fails here.
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
from tests.runtime.cuda.cufft import cufft
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import CudaError, Graph, NoMemoryError, Pool, Step, Stream, alias

OPERATORS = ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv")  # no matmul: the tracker has no cuBLAS


class Pointer:
    """Replaces MemoryPointer: the address of an array, and its GPU."""

    def __init__(self, ptr: int, device: int) -> None:
        self.ptr, self._device = ptr, device

    @property
    def device_id(self) -> int:
        return int(_current_state().gpus.get(self.ptr, self._device))


class ndarray:  # noqa: N801  # CuPy's name
    """A device array."""

    def __init__(self, values: np.ndarray, device: int = 0) -> None:
        self._values, self._device = values, device
        self.shape, self.dtype, self.ndim, self.strides = values.shape, values.dtype, values.ndim, values.strides
        self.data = Pointer(values.ctypes.data, device)
        self.flags = SimpleNamespace(c_contiguous=values.flags.c_contiguous)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        pointer, strides = (self._values.ctypes.data, False), self._values.strides
        return {"shape": self.shape, "typestr": self.dtype.str, "data": pointer, "strides": strides, "version": 3}

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> ndarray:
        if isinstance(index, np.ndarray):  # CuPy copies the indices to the device
            _current_state().refuse_while_capturing("a copy from the host")
            values = alias(self._values)
            return _computed(lambda: values[index])
        return ndarray(self._values[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, np.ndarray):
            _current_state().refuse_while_capturing("a copy from the host")
        values, new = alias(self._values), _operand(value)
        _current_state().do(lambda: values.__setitem__(index, new))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> ndarray:
        assert function is np.concatenate, function
        return concatenate(*args, **options)

    def view(self, dtype: Any) -> ndarray:
        assert self._values.flags.c_contiguous  # CuPy requires it
        return ndarray(self._values.view(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        assert self._values.flags.c_contiguous  # CuPy would copy otherwise
        return ndarray(self._values.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        values = alias(self._values)
        return self if values.dtype == dtype and not copy else _computed(lambda: values.astype(dtype))

    @property
    def real(self) -> ndarray:
        return ndarray(self._values.real)

    @property
    def imag(self) -> ndarray:
        return ndarray(self._values.imag)


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **options: Any) -> Any:
        values, operands = alias(self._values), [_operand(value) for value in args]
        return _computed(lambda: getattr(values, name)(*operands, **options))

    return method


for _name in ("sum", "mean", "conj", "clip", "copy"):
    setattr(ndarray, _name, _method(_name))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))
ndarray.__array_ufunc__ = None  # type: ignore[attr-defined]  # NumPy then raises TypeError for mixed operands


def _operand(value: Any) -> Any:
    """The memory of a device array, or the value itself. Raises TypeError for a host array, as CuPy does."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return alias(value._values) if isinstance(value, ndarray) else value


def _computed(compute: Callable[[], Any]) -> ndarray:
    """A new array with the result of `compute`. During a capture it is computed at each launch of the graph."""
    state = _current_state()
    capturing = state.captured_steps is not None
    quiet = {"all": "ignore"} if capturing else {}  # during a capture the operands have no values
    with np.errstate(**quiet):
        values = np.asarray(compute())
    result = state.allocate(values.shape, values.dtype)
    target = alias(result)
    if capturing:
        state.do(lambda: np.copyto(target, compute()))
    else:
        target[...] = values
    return ndarray(result)


def concatenate(arrays: Any, axis: int = 0) -> ndarray:
    _current_state().refuse_while_capturing("a copy of addresses from the host")
    operands = [_operand(array) for array in arrays]
    return _computed(lambda: np.concatenate(operands, axis))


# Attributes of an H100 under CUDA's names: multiprocessors, clocks in kHz, bits of the memory bus.
H100 = {
    "cudaDevAttrMultiProcessorCount": 132,
    "cudaDevAttrClockRate": 1_980_000,
    "cudaDevAttrMemoryClockRate": 2_619_000,
    "cudaDevAttrGlobalMemoryBusWidth": 5120,
}
_states: list[State] = []


def _current_state() -> State:
    """The state of the newest stand-in."""
    return _states[-1]


def _per_thread(name: str, initial: Callable[[Any], Any]) -> Any:
    """An attribute with a value per thread, like CuPy's current stream."""

    def get(state: Any) -> Any:
        return vars(state._own).setdefault(name, initial(state))

    return property(get, lambda state, value: setattr(state._own, name, value))


class State(SimpleNamespace):
    """The state of a stand-in, which tests may read and change.

    device, stream: the current ones. bytes_left: memory that can still be allocated. gpus: address -> GPU, if it is
    not GPU 0. copies: pinned memory and copies. chunks: all memory that was ever allocated. allocations: number of
    requests to memory pools. captured_steps: steps of the graph that this thread captures, or None. captured_blocks:
    addresses of the memory that it allocated. returned_blocks: addresses that pools returned to the device. launched:
    graphs, in the order of their launches.
    """

    def __init__(self, memory: float) -> None:
        super().__init__(device=0, bytes_left=memory, gpus={}, _ends={})
        self.chunks: list[np.ndarray] = []
        self.allocations, self.launched, self.returned_blocks = 0, list[Graph](), set[int]()
        self.copies, self._pool, self._own = Copies(self), Pool(self), local()

    stream = _per_thread("stream", lambda state: 0)
    captured_steps = _per_thread("captured_steps", lambda state: None)
    captured_blocks = _per_thread("captured_blocks", lambda state: set())
    capturing = _per_thread("capturing", lambda state: None)  # handle of the stream in capture
    invalidated = _per_thread("invalidated", lambda state: False)
    malloc = _per_thread("malloc", lambda state: state._pool.malloc)

    def refuse_while_capturing(self, operation: str) -> None:
        """Raises CudaError during a capture, and invalidates the capture."""
        if self.captured_steps is not None:
            self.invalidated = True
            raise CudaError(f"cudaErrorStreamCaptureUnsupported: {operation}")

    def do(self, step: Step) -> None:
        """Executes a step, or adds it to the graph during a capture."""
        if self.captured_steps is not None:
            self.captured_steps.append(step)
        else:
            step()

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        array = np.asarray(self.malloc(size))[:size].view(dtype).reshape(shape)
        self._ends[array.ctypes.data] = array.ctypes.data + array.nbytes
        return array

    @contextmanager
    def using_allocator(self, malloc: Any) -> Iterator[None]:
        previous, self.malloc = self.malloc, malloc
        try:
            yield
        finally:
            self.malloc = previous

    def is_allocated(self, address: int, size: int) -> bool:
        """Whether `size` bytes from `address` on are part of one allocation."""
        ends = self._ends.copy()  # one step: other threads allocate meanwhile. `list(self._ends.items())` has many
        return any(first <= address and address + size <= end for first, end in ends.items())

    def empty(self, shape: tuple[int, ...], dtype: Any) -> ndarray:
        """New memory, filled with NaN or with a pattern, so that a read before the first write is found."""
        array = self.allocate(shape, dtype)
        if self.captured_steps is None:
            content = array.reshape(-1).view(np.uint8)
            content[...] = 255 if np.dtype(dtype) != np.uint8 else np.arange(content.size) * 97 % 251
        return ndarray(array, self.device)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> ndarray:
        array = self.allocate(shape, dtype)
        target = alias(array)
        self.do(lambda: target.fill(0))
        return ndarray(array, self.device)

    def asarray(self, values: Any) -> ndarray:
        if isinstance(values, ndarray):
            return values
        if hasattr(values, "__cuda_array_interface__"):
            return ndarray(_array_of(values.__cuda_array_interface__))
        self.refuse_while_capturing("a copy from the host")
        if values.size and self.copies.kind_of(values.ctypes.data) == HOST:
            self.copies.queue(values, self.stream)  # CuPy copies from pinned memory without waiting
        array = self.allocate(values.shape, values.dtype)
        array[...] = values
        return ndarray(array, self.device)

    def from_dlpack(self, producer: Any) -> ndarray:
        """Passes the current stream to the producer; the default stream has the number 1. NumPy reads the capsule."""
        kind, _ = producer.__dlpack_device__()
        assert kind in (2, 13), "CuPy accepts no host array"
        capsule = producer.__dlpack__(stream=self.stream or 1, max_version=(1, 0), copy=None)
        host = SimpleNamespace(__dlpack_device__=lambda: (1, 0), __dlpack__=lambda **_: capsule)
        return ndarray(np.from_dlpack(host), self.device)

    def ascontiguousarray(self, array: ndarray) -> ndarray:
        values = alias(array._values)
        return array if values.flags.c_contiguous else _computed(lambda: np.ascontiguousarray(values))

    def asnumpy(self, array: ndarray) -> np.ndarray:
        self.refuse_while_capturing("a copy to the host")
        self.copies.wait(self.stream, self.copies.number)
        return array._values.copy()

    def attributes(self, address: int) -> Any:
        """Replaces pointerGetAttributes."""
        kind = self.copies.kind_of(address)
        return SimpleNamespace(device=self.gpus.get(address, 0), type=kind, devicePointer=address if kind else 0)


def standin(kernels: HostKernels, *, devices: int = 1, memory: float = float("inf")) -> Any:
    """A module that replaces `cupy`. devices: number of GPUs. memory: bytes that can be allocated."""
    state = State(memory)
    _states[:] = [state]
    module: Any = ModuleType("cupy")
    module.state, module.ndarray, module.float32 = state, ndarray, np.float32
    module.empty, module.zeros, module.from_dlpack = state.empty, state.zeros, state.from_dlpack
    module.asarray, module.asnumpy, module.concatenate = state.asarray, state.asnumpy, concatenate
    module.ascontiguousarray, module.RawModule = state.ascontiguousarray, _raw_module(state, kernels)
    module.cuda = SimpleNamespace(
        runtime=_runtime(state, devices),
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
        cufft=cufft(state),
    )
    return module


def _raw_module(state: State, kernels: HostKernels) -> Callable[..., Any]:
    """Replaces RawModule: kernels that are compiled for the host."""

    def raw_module(code: str, options: tuple[str, ...]) -> Any:
        def get_function(name: str) -> Any:
            def queue(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
                arguments, program = [_operand(value) for value in args], kernels.program(code, options)
                state.do(lambda: program.launch(name, grid[0], block[0], arguments, shared_mem))

            return queue

        return SimpleNamespace(get_function=get_function, compile=lambda: kernels.program(code, options) and None)

    return raw_module


def _runtime(state: State, devices: int) -> SimpleNamespace:
    """Replaces cupy.cuda.runtime."""
    return SimpleNamespace(
        CUDARuntimeError=CudaError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: state.device,
        pointerGetAttributes=state.attributes,
        memoryTypeHost=HOST,
        memGetInfo=lambda: (1 << 33, 1 << 36),
        deviceGetPCIBusId=lambda number: "0000:01:00.0",
        deviceGetAttribute=lambda attribute, number: attribute,
        **H100,
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
        memcpyAsync=state.copies.memcpyAsync,
        memcpy2DAsync=state.copies.memcpy2DAsync,
        runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: 13010,
    )


class Device:
    """Replaces cupy.cuda.Device: the current device."""

    compute_capability = "86"

    def __init__(self, state: State) -> None:
        self._state, self._number, self._previous = state, state.device, list[int]()

    def __enter__(self) -> Device:
        self._previous.append(self._state.device)
        self._state.device = self._number
        return self

    def __exit__(self, *_: object) -> None:
        self._state.device = self._previous.pop()


def _array_of(interface: dict[str, Any]) -> np.ndarray:
    """The memory that an array interface describes."""
    return np.asarray(SimpleNamespace(__array_interface__={**interface, "version": 3}))
