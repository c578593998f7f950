"""Measures activation ranges on real patches, with the calibrators of ONNX Runtime."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet.model.file import Model
from dcfnet_export.naming import INPUT
from dcfnet_export.precision.quantise import calibrated, check_float32, check_levels
from dcfnet_export.precision.ranges import RELU, Ranges
from numpy.typing import NDArray
from onnx import load_from_string

try:
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator
except ImportError as error:
    raise MissingDependencyError("onnxruntime", "cpu") from error

BINS = 2048  # bins of the histograms
PERCENTILE = 99.99  # percentage of the values inside the range
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"num_bins": BINS, "percentile": PERCENTILE, "symmetric": False}),
    "entropy": (CalibrationMethod.Entropy, {}),
}
BATCH = 8  # patches in one batch; the activations of a patch take a few MB


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Returns the patches once to a calibrator."""

    def __init__(self, patches: NDArray[np.float32]) -> None:
        self._remaining = [patches]

    def get_next(self) -> dict[str, NDArray[np.float32]]:
        return {INPUT: self._remaining.pop()} if self._remaining else {}


def check_method(method: str) -> None:
    """Raises ConfigError for a name that is not in METHODS."""
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}; there are {', '.join(METHODS)}")


def measure_ranges(model: Model, patches: NDArray[np.float32], method: str) -> Ranges:
    """Ranges of the patches and of the outputs of all convolutions and ReLUs. `sensitive` is empty.

    patches: float32 (N, 3, S, S), as in the tracker. method: one of METHODS.
    Raises ConfigError for an unknown method, or if the model is not entirely float32. Also raises it if steps are
    folded into the model, because its input is then different.
    """
    check_method(method)
    check_levels(model)
    proto = load_from_string(model.onnx)
    check_float32(proto)
    if model.folded:
        raise ConfigError(
            f"{model.name}: {' and '.join(model.folded)} folded into the graph; use a file without --fold"
        )
    calibration, options = METHODS[method]
    # Suppress the output of the calibrators: it would disturb the progress bar.
    with TemporaryDirectory(prefix="dcfnet-ranges-") as folder, redirect_stdout(StringIO()):
        file = Path(folder, "model.onnx")
        file.write_bytes(model.onnx)
        calibrator = create_calibrator(
            file, ["Conv", "Relu"], str(Path(folder, "augmented.onnx")), calibration, extra_options=options
        )
        for part in np.array_split(patches, -(-len(patches) // BATCH)):
            calibrator.collect_data(_Reader(part))
        data = calibrator.compute_data()
    tensors = {name: _ends(name, data[name]) for name in calibrated(proto)}
    return Ranges(method, model.weights_sha256, len(patches), tensors)


def _ends(name: str, data: Any) -> tuple[float, float]:
    """Low and high end. A histogram can reach below 0 even after a ReLU, so the low end is clipped there."""
    low, high = (float(np.min(data.range_value[0])), float(np.max(data.range_value[1])))
    return (max(low, 0.0) if name.startswith(RELU) else low), high
