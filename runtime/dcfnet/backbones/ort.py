"""Backbones on ONNX Runtime, on a CPU and on a GPU. The only importer of onnxruntime."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from dcfnet.backend import Array
from dcfnet.errors import DeviceError, MissingDependencyError, ModelError
from dcfnet.model import Model

try:
    import onnxruntime
except ImportError as error:
    raise MissingDependencyError("onnxruntime", "cpu") from error


# Threads wait awake from one call of a frame to the next, and sleep from frame to frame: a robot's other processes need
# the cores. To wake one takes long, and not always as long (docs/speed.md). Before 1.26 there is no such middle way.
AWAKE_US = 3000
_VERSION = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
SPINNING = (
    ("session.intra_op.spin_duration_us", str(AWAKE_US))
    if _VERSION >= (1, 26)
    else ("session.intra_op.allow_spinning", "0")
)


class OrtBackbone:
    """Backbone on ONNX Runtime's CPU provider, host arrays. See `Backbone` for layouts."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError for a graph that ONNX Runtime does not read."""
        self._session = _session(model, "CPUExecutionProvider", {})
        self.takes = _taken(self._session)

    def __call__(self, patches: Array) -> Array:
        return self._session.run(["features"], {"patches": patches.astype(self.takes, copy=False)})[0]


class OrtCudaBackbone:
    """Backbone on ONNX Runtime's CUDA provider, over CuPy's memory; host and device arrays. See `Backbone` for layouts.

    On the stream that is current when it is made, if that is one of the caller's own: runs are then only queued. On
    the default stream, or another, a run waits for what was queued before, and for its own end.
    """

    provider, memory = "CUDAExecutionProvider", "cuda"

    def __init__(self, model: Model, device: Any = None) -> None:
        """Device is opened where none is given.

        Raises MissingDependencyError for an ONNX Runtime without the provider, DeviceError where its libraries or a GPU
        are missing, and ModelError for a graph that ONNX Runtime does not read.
        """
        if self.provider not in onnxruntime.get_available_providers():
            there = f"onnxruntime {onnxruntime.__version__} is, which has no {self.provider}"
            raise MissingDependencyError("onnxruntime-gpu", "cuda13", f"{there}; cuda12 or cuda13, in place of cpu")
        self._device, self._name, self._stride = device or _open_device(), model.name, model.stride
        self._kept = self._device.current_stream()  # else its owner might let it go, and another have its number
        self._stream, told = self._device.stream, _loaded()
        self._session = _session(model, self.provider, self._options())
        if self.provider not in self._session.get_providers():
            raise DeviceError(
                f"ONNX Runtime cannot load its {self.provider}: CUDA's libraries or cuDNN are missing, or for another "
                f"CUDA; they come with: pip install 'onnxruntime-gpu[cuda,cudnn]'. {told}"
            )
        (self._channels,) = (output.shape[1] for output in self._session.get_outputs() if output.name == "features")
        self.takes = _taken(self._session)
        self._queued = onnxruntime.RunOptions()
        self._queued.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self, patches: Array) -> Array:
        host = isinstance(patches, np.ndarray)
        given = (self._device.upload(patches) if host else patches).astype(self.takes, copy=False)
        count, _, height, width = given.shape
        features = self._device.empty((count, self._channels, height // self._stride, width // self._stride))
        own = self._stream != 0 and self._device.stream == self._stream
        if not own:
            self._device.wait()
        try:
            self._session.run_with_iobinding(self._bound(given, features), self._queued if own else None)
        except Exception as error:  # its exceptions share no base class
            raise DeviceError(f"{self._name}: ONNX Runtime failed on the GPU: {error}") from error
        return self._device.to_host(features) if host else features

    def _bound(self, patches: Array, features: Array) -> Any:
        binding, place = self._session.io_binding(), (self.memory, self._device.number)
        binding.bind_input("patches", *place, self.takes, tuple(patches.shape), self._device.address(patches))
        binding.bind_output("features", *place, np.float32, tuple(features.shape), self._device.address(features))
        return binding

    def _options(self) -> dict[str, str]:
        """Precision is what the file says: no TF32. A search for the fastest algorithm would come with every count."""
        options = {"device_id": str(self._device.number), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        return options | ({"user_compute_stream": str(self._stream)} if self._stream else {})


def _session(model: Model, provider: str, settings: dict[str, str]) -> Any:
    """The model's graph, ready to run, and nowhere but on the provider where that can be had."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a library does not write to its user's terminal
    options.add_session_config_entry(*SPINNING)
    try:
        return onnxruntime.InferenceSession(model.onnx, options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as error:  # its exceptions share no base class
        raise ModelError(f"{model.name}: ONNX Runtime does not read it: {error}") from error


def _taken(session: Any) -> type[np.floating[Any]]:
    """The type of a graph's patches."""
    return np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32


def _loaded() -> str:
    """Loads CUDA's libraries from where pip puts them, which a provider does not look into; what is said of it."""
    told = StringIO()
    if hasattr(onnxruntime, "preload_dlls"):  # from 1.21
        with redirect_stdout(told):
            onnxruntime.preload_dlls()
    return " ".join(told.getvalue().split())


def _open_device() -> Any:
    from dcfnet.device import CudaDevice

    return CudaDevice()
