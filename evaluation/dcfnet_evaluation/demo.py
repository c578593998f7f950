"""The demo: `python -m dcfnet_evaluation.demo [VIDEO X,Y,W,H]` writes an annotated video and boxes under out/.

Without a video it renders a clip whose truth is known and says how well the tracker did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from dcfnet.cli import run
from dcfnet.errors import DcfnetError
from dcfnet.sinks import BoxWriter, VideoSink

from dcfnet_evaluation.rendered import render_clip

OUT = Path("out")
FPS = 30.0


def demo(
    video: Annotated[str | None, typer.Argument(help="Your own video.")] = None,
    init: Annotated[str | None, typer.Argument(metavar="X,Y,W,H", help="The target in its first frame.")] = None,
) -> None:
    """Tracks a rendered clip, or the target in a video of yours."""
    try:
        if video is None:
            _rendered()
        else:
            summary = run(video, init, output=OUT / "demo.mp4", boxes=OUT / "demo.csv")
            typer.echo(f"{summary.text()}; see {OUT / 'demo.mp4'} and {OUT / 'demo.csv'}")
    except DcfnetError as error:
        typer.echo(f"demo: {error}", err=True)
        raise typer.Exit(1) from error


def _rendered() -> None:
    clip, source = render_clip(), OUT / "clip.mp4"
    with VideoSink(source, FPS, (640, 360)) as video, BoxWriter(OUT / "clip.csv") as truth:
        for t, (frame, box) in enumerate(clip):
            video.write(frame)
            truth.write(t, box)
    init = ",".join(str(value) for value in clip.box(0))
    summary = run(str(source), init, output=OUT / "demo.mp4", boxes=OUT / "demo.csv")
    overlap = float(np.mean([box.iou(clip.box(t)) for t, box in enumerate(summary.boxes)]))
    typer.echo(f"{summary.text()}, mean overlap with the truth {overlap:.2f}")
    typer.echo(f"see {OUT / 'demo.mp4'} (annotated), {OUT / 'demo.csv'} (boxes), {OUT / 'clip.csv'} (truth)")


if __name__ == "__main__":
    typer.run(demo)
