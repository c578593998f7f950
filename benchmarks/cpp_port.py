"""Compares the port to C++ with the tracker: python benchmarks/cpp_port.py PORT SEQUENCES [FRAMES] [GAIN].

PORT: the program dcfnet_track, see integrations/cpp. SEQUENCES: a folder in OTB's layout. The first FRAMES (100) of
each sequence are tracked, with the three presets in turn. GAIN: factor of all pixels from frame 40 on; default: 1.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from dcfnet import Box, Tracker
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.rendered import Clip
from dcfnet_evaluation.sequences import AnnotatedSequence

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "runtime/dcfnet/model/shipped/dcfnet.onnx"
PRESETS = ("balanced", "fast", "accurate")
golden = SimpleNamespace(**runpy.run_path(str(ROOT / "integrations/golden_vectors.py")))


def clip_of(sequence: AnnotatedSequence, length: int, gain: float) -> Clip:
    def frame(t: int) -> np.ndarray:
        pixels = sequence.frames.read(t)
        return pixels if t < 40 or gain == 1 else np.minimum(pixels * gain, 255).astype(np.uint8)

    return Clip(min(length, len(sequence.frames)), frame, lambda t: Box(*map(float, sequence.boxes[t])))


def compare(port: Path, clip: Clip, preset: str) -> tuple[int, float, int]:
    """Number of frames, largest difference of a box in px, number of frames with another status or reason."""
    tracker = Tracker("dcfnet", preset=preset)
    tracker.init(clip.frame(0), clip.box(0))
    results = [tracker.update(clip.frame(t)) for t in range(1, clip.length)]
    with tempfile.TemporaryDirectory() as folder:
        golden.write_frames(Path(folder), clip)
        box = (Path(folder) / "first_box.txt").read_text().strip()
        command = [str(port), str(MODEL), preset, f"{folder}/frames.ppm", box]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = golden.read_track(printed)[1:]
    assert len(lines) == len(results)
    apart = max(np.abs(np.subtract(result.box, box)).max() for result, (box, *_) in zip(results, lines, strict=True))
    others = sum((str(r.status), str(r.reason)) != (s, q) for r, (_, s, q) in zip(results, lines, strict=True))
    return len(results), float(apart), others


def main(port: Path, folder: Path, length: int = 100, gain: float = 1.0) -> None:
    total, farthest, different = 0, 0.0, 0
    for index, sequence in enumerate(open_dataset("otb", folder)):
        preset = PRESETS[index % 3]
        frames, apart, others = compare(port, clip_of(sequence, length, gain), preset)
        total, farthest, different = total + frames, max(farthest, apart), different + others
        print(
            f"{sequence.name:14} {preset:9} {frames:4} frames, {apart:.5f} px, {others} with another reason", flush=True
        )
    print(f"all {total} frames: at most {farthest:.5f} px apart, {different} with another status or reason")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0]), Path(arguments[1]), *map(int, arguments[2:3]), *map(float, arguments[3:4]))
