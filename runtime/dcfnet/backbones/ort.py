"""Backbones on ONNX Runtime, for CPU and GPU. Only this module of the package imports onnxruntime."""

from __future__ import annotations

import ctypes
import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any
from weakref import WeakSet

import numpy as np

from dcfnet.errors import DeviceError, MissingDependencyError, ModelError
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model

try:
    import onnxruntime
except ImportError as error:
    raise MissingDependencyError("onnxruntime", "cpu") from error

# Worker threads spin between the calls of one frame, because waking a thread takes long and its time varies
# (docs/speed.md). They sleep between frames, so that other processes get the cores. Before ONNX Runtime 1.26, spinning
# can only be on or off.
SPIN_US = 3000
_VERSION = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
SPINNING = (
    ("session.intra_op.spin_duration_us", str(SPIN_US))
    if _VERSION >= (1, 26)
    else ("session.intra_op.allow_spinning", "0")
)

_sessions: WeakSet[Any] = WeakSet()  # all sessions of this process


class OrtBackbone(Backbone):
    """Backbone on ONNX Runtime's CPU provider, for host arrays. See `Backbone` for layouts."""

    def __init__(self, model: Model, threads: int | None = None) -> None:
        """threads: see `open_backbone`. Raises ModelError if ONNX Runtime cannot read the graph."""
        self._session = _session(model, "CPUExecutionProvider", {}, threads)
        self.input_dtype = _input_dtype(self._session)

    def __call__(self, patches: Array) -> Array:
        return self._session.run(["features"], {"patches": patches.astype(self.input_dtype, copy=False)})[0]


class OrtCudaBackbone(Backbone):
    """Backbone on ONNX Runtime's CUDA provider with CuPy's memory, for host and device arrays.

    See `Backbone` for layouts. It uses the stream that is current on creation. If this is not the default stream, a run
    on it is only queued. On the default stream, or on another one, a run waits for earlier work and for its own end.
    """

    provider, memory = "CUDAExecutionProvider", "cuda"

    def __init__(self, model: Model, device: Any = None) -> None:
        """device: a `CudaDevice`; None opens one.

        Raises MissingDependencyError if ONNX Runtime lacks the provider, DeviceError if its libraries or a GPU are
        missing, and ModelError if ONNX Runtime cannot read the graph.
        """
        if self.provider not in onnxruntime.get_available_providers():
            found = f"onnxruntime {onnxruntime.__version__} is installed, but without {self.provider}"
            raise MissingDependencyError("onnxruntime-gpu", "cuda13", f"{found}; use cuda12 or cuda13 instead of cpu")
        self._device, self._name, self._stride = device or _open_device(), model.name, model.stride
        self._owned_stream = self._device.current_stream()  # a reference: else its handle could be freed and used again
        self._stream, log = self._device.stream, _preload_libraries()
        self._session = _session(model, self.provider, self._options())
        if self.provider not in self._session.get_providers():
            raise DeviceError(
                f"ONNX Runtime cannot load its {self.provider}: the CUDA libraries or cuDNN are missing, or are for "
                f"another CUDA version; install them with: pip install 'onnxruntime-gpu[cuda,cudnn]'. {log}"
            )
        (self._channels,) = (output.shape[1] for output in self._session.get_outputs() if output.name == "features")
        self.input_dtype = _input_dtype(self._session)
        self._run_queued = onnxruntime.RunOptions()
        self._run_queued.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self, patches: Array) -> Array:
        host = isinstance(patches, np.ndarray)
        inputs = (self._device.upload(patches) if host else patches).astype(self.input_dtype, copy=False)
        count, _, height, width = inputs.shape
        features = self._device.empty((count, self._channels, height // self._stride, width // self._stride))
        same_stream = self._stream != 0 and self._device.stream == self._stream
        if not same_stream:
            self._device.wait()
        try:
            self._session.run_with_iobinding(self._bind(inputs, features), self._run_queued if same_stream else None)
        except Exception as error:  # its exceptions have no common base class
            raise DeviceError(f"{self._name}: ONNX Runtime failed on the GPU: {error}") from error
        return self._device.to_host(features) if host else features

    def _bind(self, patches: Array, features: Array) -> Any:
        binding, device = self._session.io_binding(), (self.memory, self._device.number)
        binding.bind_input("patches", *device, self.input_dtype, tuple(patches.shape), self._device.address(patches))
        binding.bind_output("features", *device, np.float32, tuple(features.shape), self._device.address(features))
        return binding

    def _options(self) -> dict[str, str]:
        """TF32 is off, because the file defines the precision.

        HEURISTIC: an exhaustive search for the fastest algorithm would run again for each number of patches.
        """
        options = {"device_id": str(self._device.number), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        return options | ({"user_compute_stream": str(self._stream)} if self._stream else {})


def _session(model: Model, provider: str, settings: dict[str, str], threads: int | None = None) -> Any:
    """A session of the model's graph. Fallback to another provider is disabled. threads: None: one per core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors only: a library must not write to the terminal
    options.add_session_config_entry(*SPINNING)
    try:
        session = onnxruntime.InferenceSession(model.onnx, options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as error:  # its exceptions have no common base class
        raise ModelError(f"{model.name}: ONNX Runtime cannot read it: {error}") from error
    _sessions.add(session)
    return session


def _input_dtype(session: Any) -> type[np.floating[Any]]:
    """The dtype of the graph's input."""
    return np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32


def _preload_libraries() -> str:
    """Loads CUDA libraries from pip packages, which the provider does not search. Returns the messages."""
    messages = StringIO()
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        with redirect_stdout(messages):
            onnxruntime.preload_dlls()
    return " ".join(messages.getvalue().split())


def _open_device() -> Any:
    from dcfnet.devices.cuda.device import CudaDevice

    return CudaDevice()


def _skip_destructors() -> None:
    """Lets a fork of the process end.

    ONNX Runtime's threads are not in the fork, but its destructors wait for them, or crash. So the sessions of the
    parent process are never deleted here, and the process ends without the exit handlers of C++ libraries.
    """
    for session in list(_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    library = ctypes.CDLL(None)
    with suppress(AttributeError):  # on_exit is in glibc only. Handlers run in reverse order.
        library.on_exit(library._exit, None)
        library.__cxa_atexit(library.fflush, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_skip_destructors)
