"""Backbone on OpenCV's ONNX engine, so that no other library is required."""

from __future__ import annotations

import cv2
import numpy as np

from dcfnet.errors import ModelError
from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model


class CvDnnBackbone(Backbone):
    """Backbone on OpenCV's dnn module, for host arrays. See `Backbone` for layouts."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError if OpenCV cannot read the graph."""
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model.onnx, dtype=np.uint8))
        except cv2.error as error:
            raise ModelError(f"{model.name}: OpenCV {cv2.__version__} cannot read it: {error}") from error

    def __call__(self, patches: Array) -> Array:
        self._net.setInput(patches)
        return self._net.forward()
