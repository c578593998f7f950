"""Size and time of exported files, in turns: python benchmarks/precision.py FILE.onnx [FILE.onnx ...].

Three patches of the default preset's size, as a frame asks for them; medians over many calls, each file's over the
first one's.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.config import DEFAULT_PRESET
from dcfnet.model import load_model

ROUNDS = 300
WARM_UP = 20  # rounds that do not count


def main(files: list[Path]) -> None:
    models = [load_model(file) for file in files]
    backbones = [OrtBackbone(model) for model in models]
    side = models[0].preset(DEFAULT_PRESET).patch_size
    patches = np.random.default_rng(0).normal(0, 50, (3, 3, side, side)).astype(np.float32)
    times = np.empty((ROUNDS, len(files)))
    for turn in range(WARM_UP + ROUNDS):
        for index, backbone in enumerate(backbones):
            began = time.perf_counter()
            backbone(patches)
            times[turn - WARM_UP, index] = time.perf_counter() - began  # the first rounds are written over
    medians = np.median(times, axis=0)
    ratios = np.quantile(times / times[:, :1], [0.25, 0.5, 0.75], axis=0)
    for file, median, (low, middle, high) in zip(files, medians, ratios.T, strict=True):
        size = file.stat().st_size / 1024
        print(
            f"{file.name:28} {size:6.1f} KB {median * 1e3:6.2f} ms  {middle:.2f} of the first ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
