"""The demo: `python -m dcfnet_evaluation.demo [VIDEO X,Y,W,H]` writes an annotated video and boxes to out/.

Without VIDEO it renders a clip with known true boxes and prints the mean overlap of the tracker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from dcfnet.cli.options import RunOptions
from dcfnet.cli.session import run
from dcfnet.cli.target import parse_box
from dcfnet.errors import DcfnetError, SinkError
from dcfnet.io.sinks.boxes import BoxWriter
from dcfnet.io.sinks.video import VideoSink
from dcfnet.io.sources import open_source
from dcfnet.result import Box

from dcfnet_evaluation.street import render_street

OUT = Path("out")
FPS = 30.0
PICTURE_WIDTH = 480  # px


def demo(
    video: Annotated[str | None, typer.Argument(help="Video to track in. Default: a rendered clip.")] = None,
    init: Annotated[str | None, typer.Argument(metavar="X,Y,W,H", help="Target box in the first frame.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Animated WebP to write, from the annotated video.")] = None,
) -> None:
    """Tracks the target in a rendered clip or in your video."""
    try:
        if video is None:
            _track_rendered_clip()
        else:
            first = () if init is None else (parse_box(init, "X,Y,W,H"),)
            summary = run(RunOptions(video, first, output=OUT / "demo.mp4", boxes=OUT / "demo.csv"))
            typer.echo(f"{summary.text()}; see {OUT / 'demo.mp4'} and {OUT / 'demo.csv'}")
        if picture is not None:
            _write_picture(OUT / "demo.mp4", picture)
    except DcfnetError as error:
        typer.echo(f"demo: {error}", err=True)
        raise typer.Exit(1) from error


def _track_rendered_clip() -> None:
    clip, source = render_street(), OUT / "clip.mp4"
    with VideoSink(source, FPS, (640, 360)) as video, BoxWriter(OUT / "clip.csv") as truth:
        for t, (frame, box) in enumerate(clip):
            video.write(frame)
            truth.write(t, box)
    summary = run(RunOptions(str(source), (clip.box(0),), output=OUT / "demo.mp4", boxes=OUT / "demo.csv"))
    rows = np.loadtxt(OUT / "demo.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3, 4), ndmin=2)
    overlap = float(np.mean([Box(*row).iou(clip.box(t)) for t, row in enumerate(rows)]))
    typer.echo(f"{summary.text()}, mean overlap with the true boxes {overlap:.2f}")
    typer.echo(f"see {OUT / 'demo.mp4'} (annotated), {OUT / 'demo.csv'} (boxes), {OUT / 'clip.csv'} (true boxes)")


def _write_picture(video: Path, picture: Path) -> None:
    """Writes every third frame, at PICTURE_WIDTH px, as an animated WebP."""
    animation = cv2.Animation()
    frames = [
        frame.pixels for index, frame in enumerate(open_source(video)) if frame.pixels is not None and index % 3 == 0
    ]
    height = round(PICTURE_WIDTH * frames[0].shape[0] / frames[0].shape[1])
    animation.frames = [cv2.resize(frame, (PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA) for frame in frames]
    animation.durations = [round(3000 / FPS)] * len(frames)  # ms
    if not cv2.imwriteanimation(str(picture), animation, [cv2.IMWRITE_WEBP_QUALITY, 60]):
        raise SinkError(f"{picture}: OpenCV cannot write it; the name must end in .webp")


if __name__ == "__main__":
    typer.run(demo)
