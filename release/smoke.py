"""Uses an installed dcfnet as a newcomer does: the program of its docstring and dcfnet-run, on a rendered clip.

python smoke.py ENGINE: the engine that must run the network, opencv or onnxruntime. It runs in an empty folder.
"""

from __future__ import annotations

import contextlib
import csv
import io
import subprocess
import sys
import textwrap
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import dcfnet
from dcfnet.io.sinks.video import VideoSink
from dcfnet_evaluation.rendered import render_clip

FRAMES = 12


def main(engine: str) -> None:
    """Raises AssertionError for a wrong result."""
    assert "site-packages" in dcfnet.__file__, f"{dcfnet.__file__} is not the installed package"
    assert version("dcfnet") == dcfnet.__version__
    assert (find_spec("onnxruntime") is not None) == (engine == "onnxruntime"), "ONNX Runtime: present or missing?"
    with VideoSink(Path("drive.mp4"), 30, (640, 360)) as video:
        for frame, _ in render_clip(FRAMES):
            video.write(frame)
    program = textwrap.dedent((dcfnet.__doc__ or "").split("to the end:\n\n", 1)[1])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    assert printed.getvalue().count("Box(x=") == FRAMES - 1, printed.getvalue()
    command = Path(sys.executable).with_name("dcfnet-run")
    box = ",".join(f"{value:.2f}" for value in render_clip(1).box(0))
    subprocess.run([command, "drive.mp4", "--init", box, "--boxes", "boxes.csv", "--output", "tracked.mp4"], check=True)
    rows = list(csv.DictReader(Path("boxes.csv").read_text("utf-8").splitlines()))
    assert len(rows) == FRAMES, rows
    last = dcfnet.Box(*(float(rows[-1][name]) for name in "xywh"))
    overlap = last.iou(render_clip(FRAMES).box(FRAMES - 1))
    assert overlap > 0.7, f"the last box {last} overlaps the target by {overlap:.2f} only"


if __name__ == "__main__":
    main(sys.argv[1])
