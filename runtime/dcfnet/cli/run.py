"""dcfnet-run: tracks one target in a video. Only this module of the package imports typer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet.cli.target import WINDOW, draw_box, has_display, parse_box
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS
from dcfnet.errors import DcfnetError, EngineError, SinkError
from dcfnet.io.boxes import FORMATS, BoxWriter
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.sources import IMAGE_SUFFIXES, FrameSource, open_source
from dcfnet.io.video import VideoSink, annotate
from dcfnet.result import Box, Result, Status
from dcfnet.tracker import Tracker
from dcfnet.tracking.geometry import target_box

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    source: Annotated[str, typer.Argument(help="Video file, folder of images, camera index, or URL of a stream.")],
    init: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Target box in the first frame: left, top, width, height in pixels, 0-based. Default: draw it.",
        ),
    ] = None,
    engine: Annotated[
        Path | None,
        typer.Option(help="Model (.onnx) or TensorRT engine (.engine) from dcfnet-export. Default: the shipped model."),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(help="If the engine file is rejected, build it again from ENGINE.onnx beside it."),
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help=f"Operating point: {', '.join(PRESETS)}. Default: {DEFAULT_PRESET}.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help=f"Set of constants, used instead of a preset: {', '.join(CONSTANTS)}.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write an annotated video (.mp4, .avi, .mkv or .mov).")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Write the boxes to a file, one line per frame, unbuffered.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help=f"Format of --boxes: {', '.join(FORMATS)}.")] = "csv",
    device: Annotated[str, typer.Option(help="Device: auto (the GPU if it can be used), cpu or cuda.")] = "auto",
    show: Annotated[bool, typer.Option(help="Show the video during tracking; q or Esc stops.")] = False,
) -> None:
    """Tracks one target through a video. Without --init, draw its box in the first frame with the mouse."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM also closes the video properly
    try:
        summary = run(source, init, engine, config, output, boxes, format_, device, show, preset, rebuild)
    except DcfnetError as error:
        typer.echo(f"dcfnet-run: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("dcfnet-run: interrupted; the results up to this frame are saved", err=True)
        raise typer.Exit(130) from None
    typer.echo(summary.text())


@dataclass
class Summary:
    """What a run did. seconds: time in the tracker, without decoding and drawing."""

    boxes: list[Box] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Updates per second, the tracker alone."""
        return (len(self.boxes) - 1) / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """One line for the terminal."""
        speed = f", {self.fps:.1f} frames per second (tracker only)" if self.seconds else ""
        return f"{len(self.boxes)} frames, lost in {self.lost}{speed}"


def run(
    source: str,
    init: str | None = None,
    engine: Path | None = None,
    config: str | None = None,
    output: Path | None = None,
    boxes: Path | None = None,
    layout: str = "csv",
    device: str = "auto",
    show: bool = False,
    preset: str | None = None,
    rebuild: bool = False,
) -> Summary:
    """The work of dcfnet-run. Raises DcfnetError for all errors that the user can correct."""
    given_box = parse_box(init) if init is not None else None
    check_outputs(source, engine, [file for file in (output, boxes) if file])
    if layout not in FORMATS:
        raise SinkError(f"--format {layout}: must be one of {', '.join(FORMATS)}")
    if show and not has_display():
        raise SinkError("--show: there is no display; use --output and watch the video afterwards")
    tracker = open_tracker(engine, device, config, preset, rebuild)
    opened = open_source(source)
    frames = iter(opened)
    first = next(frames)
    initial_box = target_box(given_box or draw_box(first), frame_size(first))
    tracker.init(first, initial_box)
    summary = Summary()
    with ExitStack() as stack:
        video = stack.enter_context(VideoSink(output, opened.fps, frame_size(first))) if output else None
        writer = stack.enter_context(BoxWriter(boxes, layout)) if boxes else None
        if show:
            stack.callback(cv2.destroyAllWindows)
        progress = _progress(stack, opened)
        for index, (frame, box, result) in enumerate(_track(tracker, first, initial_box, frames, summary)):
            if writer:
                writer.write(index, box, result)
            if video:
                video.write(annotate(frame, box, result))
            next(progress)
            if show and not _show(annotate(frame, box, result)):
                break
    return summary


def open_tracker(engine: Path | None, device: str, config: str | None, preset: str | None, rebuild: bool) -> Tracker:
    """The tracker of a model or an engine. rebuild: if the engine is rejected, builds it again, once."""
    try:
        return Tracker(engine, device, config, preset=preset)
    except EngineError as error:
        if engine is None or not rebuild:
            raise
        typer.echo(f"dcfnet-run: {error}", err=True)
    from dcfnet.engines.make import rebuild as rebuild_engine

    passport = rebuild_engine(engine)
    typer.echo(f"dcfnet-run: {engine}: built again with {passport.flavour} {passport.version}", err=True)
    return Tracker(engine, device, config, preset=preset)


def _track(
    tracker: Tracker, first: Frame, box: Box, frames: Iterator[Frame], summary: Summary
) -> Iterator[tuple[Frame, Box, Result | None]]:
    """Each frame with its box and result, first the initial one without a result. Updates the summary."""
    summary.boxes.append(box)
    yield first, box, None
    for frame in frames:
        started = time.perf_counter()
        result = tracker.update(frame)
        summary.seconds += time.perf_counter() - started
        summary.lost += result.status is Status.LOST
        summary.boxes.append(result.box)
        yield frame, result.box, result


def check_outputs(source: str, engine: Path | None, outputs: list[Path]) -> None:
    """Raises SinkError if an output would overwrite an input or another output."""
    inputs = [os.path.realpath(file) for file in (source, engine) if file]  # realpath accepts circular links too
    for output in outputs:
        image = output.suffix.lower() in IMAGE_SUFFIXES and output.exists()
        if os.path.realpath(output) in inputs or image:
            raise SinkError(f"{output}: would overwrite the source, the model or an image; choose another file")
    if len({os.path.realpath(output) for output in outputs}) < len(outputs):
        raise SinkError(f"{outputs[0]}: is both --output and --boxes; choose two files")


def _show(frame: Frame) -> bool:
    """Shows the frame. False if the user wants to stop."""
    cv2.imshow(WINDOW, frame)
    return cv2.waitKey(1) not in (ord("q"), 27)


def _progress(stack: ExitStack, opened: FrameSource) -> Generator[None, None, None]:
    """A progress bar; each `next` advances it by one frame. Hidden if the output is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
    task = progress.add_task(Path(opened.name).name, total=opened.length)
    while True:
        progress.advance(task)
        yield
