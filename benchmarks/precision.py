"""What each precision costs and saves: python benchmarks/precision.py RANGES SEQUENCES.

The shipped weights in every precision and form. Time: three patches of the default preset's size in ONNX Runtime, the
files in turns, over that of fp32 in the same turn. Accuracy: as `dcfnet-export --verify` measures it, but beside the
float32 file in ONNX Runtime, which is faster than torch, with OpenCV's engine for a control. Prints the table of
docs/export.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from dcfnet.backbones.cvdnn import CvDnnBackbone
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.config import DEFAULT_PRESET
from dcfnet.model import Model
from dcfnet_export.files import load
from dcfnet_export.graph import make_model
from dcfnet_export.precision import convert
from dcfnet_export.ranges import Ranges
from dcfnet_export.verify import verify
from dcfnet_train.videos import open_sequences
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


def ratios(backbones: list[OrtBackbone], side: int) -> NDArray[np.float64]:
    """Times of every backbone over those of the first, quartiles (3, N)."""
    patches = np.random.default_rng(0).normal(0, 50, (3, 3, side, side)).astype(np.float32)
    times = np.empty((WARM_UP + ROUNDS, len(backbones)))
    for turn in times:
        for index, backbone in enumerate(backbones):
            began = time.perf_counter()
            backbone(patches)
            turn[index] = time.perf_counter() - began
    return np.quantile((times / times[:, :1])[WARM_UP:], [0.25, 0.5, 0.75], axis=0)


def main(ranges: Path, sequences: str) -> None:
    checkpoint, name = load(None)
    model = make_model(checkpoint, checkpoint.recipe.tracker_config(2), name)
    made: dict[str, Model] = {
        f"{precision} | {form}": convert(model, precision, form, Ranges.read(ranges)) for precision, form in KINDS
    }
    backbones = {kind: OrtBackbone(each) for kind, each in made.items()}
    config = model.preset(DEFAULT_PRESET)
    quartiles = ratios(list(backbones.values()), config.patch_size)
    print("| precision | form | KB | time of fp32's, CPU | features | peak, cells | AUC | 95 % interval |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    control = CvDnnBackbone(model)
    tracked = {"fp32, OpenCV's engine | cpu": control, **dict(list(backbones.items())[1:])}
    verdicts = verify(model, backbones["fp32 | cpu"], control, tracked, open_sequences(sequences), config)
    first = next(iter(verdicts.values()))
    print(f"| fp32 | cpu | {len(model.onnx) / 1024:.0f} | 1 | | | {first.reference:.4f} | |")
    for kind, verdict in verdicts.items():
        found = verdict.comparison
        size, pace = ("", "")
        if kind in made:
            low, middle, high = quartiles[:, list(made).index(kind)]
            size, pace = f"{len(made[kind].onnx) / 1024:.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(
            f"| {kind} | {size} | {pace} | {verdict.feature_error:.1e} | {verdict.peak_shift:.3f} "
            f"| {verdict.auc:.4f}, {found.difference:+.4f} | {found.low:+.4f} to {found.high:+.4f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
