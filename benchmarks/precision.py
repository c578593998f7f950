"""Measures what each precision costs and saves: python benchmarks/precision.py RANGES SEQUENCES.

The model `dcfnet` in every precision and form. Time: three patches of the default preset's size in ONNX Runtime.
Every file runs once per round; the ratio is to fp32 in the same round. Accuracy: as for `dcfnet-export --verify`, but
the reference is the float32 file in ONNX Runtime, which is faster than torch, and the control is OpenCV's engine.
Prints the table of docs/export.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from dcfnet.backbones.cvdnn import CvDnnBackbone
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.config import DEFAULT_PRESET
from dcfnet.model.file import Model
from dcfnet_export.precision import convert
from dcfnet_export.precision.ranges import Ranges
from dcfnet_export.sources import open_source
from dcfnet_export.verify import verify
from dcfnet_train.footage.videos import open_sequences
from numpy.typing import NDArray

KINDS = [
    ("fp32", "cpu"),
    ("fp16", "cpu"),
    ("int8", "cpu"),
    ("int8", "tensorrt"),
    ("mixed", "cpu"),
    ("mixed", "tensorrt"),
]
ROUNDS, WARM_UP = 300, 20


def time_ratios(backbones: list[OrtBackbone], side: int) -> NDArray[np.float64]:
    """Quartiles (3, N) of the time of every backbone, relative to the first one in the same round."""
    patches = np.random.default_rng(0).normal(0, 50, (3, 3, side, side)).astype(np.float32)
    times = np.empty((WARM_UP + ROUNDS, len(backbones)))
    for row in times:
        for index, backbone in enumerate(backbones):
            start = time.perf_counter()
            backbone(patches)
            row[index] = time.perf_counter() - start
    return np.quantile((times / times[:, :1])[WARM_UP:], [0.25, 0.5, 0.75], axis=0)


def main(ranges: Path, sequences: str) -> None:
    model = open_source("dcfnet").model
    models: dict[str, Model] = {
        f"{precision} | {form}": convert(model, precision, form, Ranges.read(ranges)) for precision, form in KINDS
    }
    backbones = {kind: OrtBackbone(converted) for kind, converted in models.items()}
    config = model.preset(DEFAULT_PRESET)
    quartiles = time_ratios(list(backbones.values()), config.patch_size)
    print("| precision | form | KB | time / fp32, CPU | features | peak, cells | AUC | 95 % interval |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    control = CvDnnBackbone(model)
    tracked = {"fp32, OpenCV's engine | cpu": control, **dict(list(backbones.items())[1:])}
    results = verify(model, backbones["fp32 | cpu"], control, tracked, open_sequences(sequences), config)
    first = next(iter(results.values()))
    print(f"| fp32 | cpu | {len(model.onnx) / 1024:.0f} | 1 | | | {first.reference:.4f} | |")
    for kind, result in results.items():
        comparison = result.comparison
        size, ratio = "", ""
        if kind in models:
            low, middle, high = quartiles[:, list(models).index(kind)]
            size, ratio = f"{len(models[kind].onnx) / 1024:.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(
            f"| {kind} | {size} | {ratio} | {result.feature_error:.1e} | {result.peak_shift:.3f} "
            f"| {result.auc:.4f}, {comparison.difference:+.4f} | {comparison.low:+.4f} to {comparison.high:+.4f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
