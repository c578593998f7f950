"""Compares int8 with float32 in ONNX Runtime on this CPU: python benchmarks/int8_latency.py RANGES [MODEL].

RANGES is the output of dcfnet-calibrate ranges for MODEL, by default `dcfnet`. One thread; a call has the
patches of one frame of the default preset; in every round all files run once. Prints the median of the ratios to
float32 in the same round, with quartiles.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from dcfnet.backbones.loading import load_model
from dcfnet.config import DEFAULT_PRESET
from dcfnet_export.naming import convolutions
from dcfnet_export.precision.quantise import FORMS, quantise
from dcfnet_export.precision.ranges import Ranges
from onnx import load_from_string

ROUNDS, WARM_UP = 400, 5


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def main(ranges: Path, model: Path = Path("dcfnet")) -> None:
    loaded, measured = load_model(model), Ranges.read(ranges)
    config, names = loaded.preset(DEFAULT_PRESET), convolutions(load_from_string(loaded.onnx).graph)
    chosen = {"int8": names, "mixed": [name for name in names if name not in measured.sensitive]}
    chosen |= {f"{name} alone": [name] for name in names if [name] not in chosen.values()}
    files = {"float32": loaded.onnx} | {
        f"{label}, {form}": quantise(loaded.onnx, measured, layers, form)
        for form in FORMS
        for label, layers in chosen.items()
    }
    sessions = {label: open_session(content) for label, content in files.items()}
    size = (config.scales, 3, config.patch_size, config.patch_size)
    patches = np.random.default_rng(0).integers(-110, 130, size).astype(np.float32)
    seconds: dict[str, list[float]] = {label: [] for label in files}
    for turn in range(WARM_UP + ROUNDS):
        for label, session in sessions.items():
            start = time.perf_counter()
            session.run(["features"], {"patches": patches})
            if turn >= WARM_UP:
                seconds[label].append(time.perf_counter() - start)
    reference = np.array(seconds["float32"])
    print(f"{size[0]} patches of {size[2]} px, {ROUNDS} rounds, float32 {1e3 * np.median(reference):.2f} ms")
    for label, content in files.items():
        low, middle, high = np.quantile(np.array(seconds[label]) / reference, [0.25, 0.5, 0.75])
        print(f"{label:24} {len(content) / 1024:6.1f} KB   {middle:.2f} x float32 ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
