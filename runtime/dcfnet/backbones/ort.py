"""Backbone on ONNX Runtime. The only importer of onnxruntime."""

from __future__ import annotations

from dcfnet.backend import Array
from dcfnet.errors import MissingDependencyError, ModelError
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
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: a library does not write to its user's terminal
        options.add_session_config_entry(*SPINNING)
        try:
            self._session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise ModelError(f"{model.name}: ONNX Runtime does not read it: {error}") from error

    def __call__(self, patches: Array) -> Array:
        return self._session.run(["features"], {"patches": patches})[0]
