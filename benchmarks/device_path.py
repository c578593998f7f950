"""Compares a GPU's path with the CPU's on real footage: python benchmarks/device_path.py FOLDER... [--output FILE].

It runs on the tests' stand-in for CuPy, from the root of the repository. FOLDER: sequences in OTB's layout. Each
tracker has CAMERAS sequences as its cameras, and several targets in each (`Cameras` in gpu/paths.py). For each of
SETTINGS three trackers get the same frames: `device` (the kernels decide), `host` (the same kernels up to the peaks,
and `tracking/steps.py` decides), and `cpu` (device="cpu"). Boxes, statuses and reasons of `device` are compared with
those of both others, to the last bit; whole results and states with those of `host` (the confidence, which has
logarithms, to 10 digits). Prints the counts of each setting, and writes them as JSON. ONNX Runtime's CPU provider runs
the model `deep`, one patch at a time: its features of one patch differ in the last digits from those of the same patch
in a larger batch.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dcfnet.backbones.loading import load_model
from dcfnet.lifecycle import opening
from dcfnet.model.confidence import Confidence
from dcfnet.model.file import Model
from dcfnet_evaluation.datasets.otb import read_otb
from host_share import stand_in

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu.paths import Comparison, FramesWithCuts, compare

CAMERAS = 4
# Arguments of the trackers. With more than one patch for redetection, and `min_strength`, they also search after camera
# cuts, and with the first filter.
SMALL = {"patch_size": 48, "scales": 1, "lost_after": 3, "lost_confidence": 0.6}  # many frames in little time
SETTINGS: dict[str, dict[str, Any]] = {
    "dcfnet": {"model": "dcfnet"},
    "occlusions": {"model": "dcfnet", "preset": "fast", "config": {"min_strength": 0.3}},
    "whole frame": {"model": "dcfnet", "config": SMALL | {"min_strength": 0.3, "redetection_patches": 3}},
    "deep": {"model": "deep", "preset": "fast", "engine": "onnxruntime", "config": {"redetection_patches": 1}},
    "default": {"model": "deep", "engine": "onnxruntime"},
}
# The model `dcfnet` has no fit for the confidence; these settings get one, so that targets are sure or doubtful.
FITS = {"whole frame": Confidence(-1.0, {"likeness": 6.0, "log_likeness": 0.5})}


def use_cpu_provider() -> None:
    """ONNX Runtime's CPU provider runs on the memory of the stand-in, one patch at a time."""
    from dcfnet.backbones.ort import OrtCudaBackbone
    from dcfnet.devices.cpu import CpuBackend
    from dcfnet.devices.cuda.backend import CudaBackend

    OrtCudaBackbone.provider, OrtCudaBackbone.memory = "CPUExecutionProvider", "cpu"
    OrtCudaBackbone._options = lambda self: {}  # type: ignore[method-assign]
    CpuBackend.patches_per_call = CudaBackend.patches_per_call = 1


def load_with_fit(fit: Confidence | None, model: Any) -> Model:
    """The model, with this fit for the confidence if it has none."""
    loaded = load_model(model)
    return replace(loaded, confidence=loaded.confidence or fit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--share", type=float, default=0.35, help="of each sequence, from its end")
    parser.add_argument("--cuts", type=int, help="frames from one camera cut to the next (`FramesWithCuts`)")
    parser.add_argument("--output", type=Path)
    arguments, done = parser.parse_args(), dict[str, Any]()
    stand_in()
    sequences = [
        read_otb(one) for folder in arguments.folders for one in sorted(folder.iterdir()) if (one / "img").is_dir()
    ]
    if arguments.cuts:
        sequences = [replace(one, frames=FramesWithCuts(one.frames, arguments.cuts)) for one in sequences]
    for name in arguments.settings:
        opening.load_model = partial(load_with_fit, FITS.get(name))
        if "engine" in SETTINGS[name]:
            use_cpu_provider()
        comparison = Comparison()
        for first in range(0, len(sequences), CAMERAS):
            compare(SETTINGS[name], sequences[first : first + CAMERAS], arguments.share, comparison)
            print(name, first, vars(comparison), flush=True)
        done[name] = vars(comparison)
    if arguments.output:
        arguments.output.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
