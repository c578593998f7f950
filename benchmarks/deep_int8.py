"""What int8 and float16 would gain for the model `deep` on a CPU: python benchmarks/deep_int8.py [ROUNDS].

ONNX Runtime quantises all convolutions of the shipped file. The ranges come from random patches, so the result is for
times only. Prints the median CPU time of one call on one thread, all files in turn, and of a whole update.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dcfnet
import numpy as np
import onnxruntime
from dcfnet.backbones.loading import load_model
from dcfnet.result import Box
from dcfnet_evaluation.rendered import render_clip
from dcfnet_export.precision import convert
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

MODEL = Path(dcfnet.__file__).parent / "model" / "shipped" / "deep.onnx"
SIDE, BATCHES = 120, (1, 8)
RANGE_PATCHES = 8


class Patches(CalibrationDataReader):  # type: ignore[misc]
    """Random patches, as ONNX Runtime wants them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._left = [{"patches": patches(rng, 1)} for _ in range(RANGE_PATCHES)]

    def get_next(self) -> dict[str, Any] | None:
        """The next patch, or None."""
        return self._left.pop() if self._left else None


def patches(rng: np.random.Generator, count: int) -> np.ndarray:
    """float32 (count, 3, SIDE, SIDE), in the range of pixels minus the mean."""
    return (rng.integers(0, 256, (count, 3, SIDE, SIDE)) - 116).astype(np.float32)


def session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU time of each call, ms; one after the other in each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(1e3 * (time.process_time() - start))
    return {name: median(values[1:]) for name, values in times.items()}


def main() -> None:
    rounds, rng = int(sys.argv[1]) if len(sys.argv) > 1 else 60, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {"float32": MODEL}
        for name, per_channel in (("int8, scale per channel", True), ("int8, one scale", False)):
            files[name] = Path(folder) / f"{per_channel}.onnx"
            kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
            operators = ["Conv", "Clip", "Add"]
            quantize_static(
                MODEL, files[name], Patches(rng), QuantFormat.QDQ, operators, per_channel=per_channel, **kinds
            )
        files["float16"] = Path(folder) / "half.onnx"
        files["float16"].write_bytes(convert(load_model("deep"), "fp16", "cpu").onnx)
        sessions = {name: session(file) for name, file in files.items()}
        for batch in BATCHES:
            feed = {"patches": patches(rng, batch)}
            found = in_turn({name: partial(s.run, None, feed) for name, s in sessions.items()}, rounds)
            for name, ms in found.items():
                print(f"{batch} patches, {name}: {ms:.2f} ms, {found['float32'] / ms:.2f} times as fast as float32")
    frames = list(render_clip(length=rounds + 1))
    tracker = dcfnet.Tracker(device="cpu", threads=1)
    tracker.init(frames[0][0], Box(*frames[0][1]))
    rest = iter(frames[1:])
    update = in_turn({"update": lambda: tracker.update(next(rest)[0])}, rounds)["update"]
    print(f"a whole update, balanced: {update:.2f} ms")


if __name__ == "__main__":
    main()
