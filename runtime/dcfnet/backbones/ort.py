"""Backbone on ONNX Runtime. The only importer of onnxruntime."""

from __future__ import annotations

from dcfnet.backend import Array
from dcfnet.errors import MissingDependencyError, ModelError
from dcfnet.model import Model

try:
    import onnxruntime
except ImportError as error:
    raise MissingDependencyError("onnxruntime", "cpu") from error


class OrtBackbone:
    """Backbone on ONNX Runtime's CPU provider, host arrays. See `Backbone` for layouts."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError for a graph that ONNX Runtime does not read."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: a library does not write to its user's terminal
        # Idle threads sleep instead of spinning: a robot's other processes need the cores between two frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise ModelError(f"{model.name}: ONNX Runtime does not read it: {error}") from error

    def __call__(self, patches: Array) -> Array:
        return self._session.run(["features"], {"patches": patches})[0]
