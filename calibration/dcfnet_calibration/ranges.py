"""Ranges of activations on real patches, by ONNX Runtime's calibrators."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet.model import Model
from dcfnet_export.naming import INPUT
from dcfnet_export.quantise import calibrated, check_float32
from dcfnet_export.ranges import RELU, Ranges
from numpy.typing import NDArray
from onnx import load_from_string

try:
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator
except ImportError as error:
    raise MissingDependencyError("onnxruntime", "cpu") from error

BINS = 2048  # of the histograms
PERCENTILE = 99.99  # of the values that are kept
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"num_bins": BINS, "percentile": PERCENTILE, "symmetric": False}),
    "entropy": (CalibrationMethod.Entropy, {}),
}
AT_ONCE = 8  # patches whose activations are held in memory: a few MB each


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Gives a calibrator its patches, once."""

    def __init__(self, patches: NDArray[np.float32]) -> None:
        self._left = [patches]

    def get_next(self) -> dict[str, NDArray[np.float32]]:
        return {INPUT: self._left.pop()} if self._left else {}


def check_method(method: str) -> None:
    """Raises ConfigError for a name that is not of METHODS."""
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}; there are {', '.join(METHODS)}")


def measure_ranges(model: Model, patches: NDArray[np.float32], method: str) -> Ranges:
    """Ranges of the patches and of what every convolution and ReLU makes of them; nothing is called sensitive yet.

    patches: float32 (N, 3, S, S), as the tracker cuts them. method: one of METHODS.
    Raises ConfigError for another method, and for a model that is not float32 throughout or that has
    something folded in: other patches go into its convolutions.
    """
    check_method(method)
    proto = load_from_string(model.onnx)
    check_float32(proto)
    if model.folded:
        raise ConfigError(f"{model.name}: {' and '.join(model.folded)} folded in; measure on a file without --fold")
    way, options = METHODS[method]
    # The calibrators print what they do: a bar is shown in its place.
    with TemporaryDirectory(prefix="dcfnet-ranges-") as folder, redirect_stdout(StringIO()):
        file = Path(folder, "model.onnx")
        file.write_bytes(model.onnx)
        calibrator = create_calibrator(
            file, ["Conv", "Relu"], str(Path(folder, "seen.onnx")), way, extra_options=options
        )
        for part in np.array_split(patches, -(-len(patches) // AT_ONCE)):
            calibrator.collect_data(_Reader(part))
        found = calibrator.compute_data()
    tensors = {name: _ends(name, found[name]) for name in calibrated(proto)}
    return Ranges(method, model.weights_sha256, len(patches), tensors)


def _ends(name: str, data: Any) -> tuple[float, float]:
    """Low and high end; a histogram around 0 reaches below it even after a ReLU, where nothing is."""
    low, high = (float(np.min(data.range_value[0])), float(np.max(data.range_value[1])))
    return (max(low, 0.0) if name.startswith(RELU) else low), high
