"""The embedded default: OpenCV's own ONNX engine, so that a bare install tracks."""

from __future__ import annotations

import cv2
import numpy as np

from dcfnet.backend import Array
from dcfnet.errors import ModelError
from dcfnet.model import Model


class CvDnnBackbone:
    """Backbone on OpenCV's dnn module, host arrays. See `Backbone` for layouts."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError for a graph that OpenCV does not read."""
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model.onnx, dtype=np.uint8))
        except cv2.error as error:
            raise ModelError(f"{model.name}: OpenCV {cv2.__version__} does not read it: {error}") from error

    def __call__(self, patches: Array) -> Array:
        self._net.setInput(patches)
        return self._net.forward()
