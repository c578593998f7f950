"""dcfnet-run: tracks a target in a video. The only importer of typer in this package."""

from __future__ import annotations

import os
import signal
import sys
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

from dcfnet.backend import Frame
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS
from dcfnet.errors import DcfnetError, EngineError, InvalidBoxError, SinkError
from dcfnet.frames import IMAGE_SUFFIXES, FrameSource, open_source
from dcfnet.geometry import Box, target_box
from dcfnet.pixels import frame_size
from dcfnet.result import Result, Status
from dcfnet.sinks import FORMATS, BoxWriter, VideoSink, annotate
from dcfnet.tracker import Tracker

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
WINDOW = "dcfnet - q or Esc ends"


@app.command()
def main(
    source: Annotated[
        str, typer.Argument(help="A video file, a folder of images, a camera's number, or a stream's URL.")
    ],
    init: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="The target in the first frame, 0-based pixels.")
    ] = None,
    engine: Annotated[
        Path | None, typer.Option(help="Model or TensorRT engine of dcfnet-export; without it the shipped model.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option(help="Build an engine that is refused anew, from the model beside it.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help=f"Operating point: {', '.join(PRESETS)}. [{DEFAULT_PRESET}]")
    ] = None,
    config: Annotated[str | None, typer.Option(help=f"Constants in place of a preset: {', '.join(CONSTANTS)}.")] = None,
    output: Annotated[Path | None, typer.Option(help="Annotated video to write (.mp4, .avi, .mkv, .mov).")] = None,
    boxes: Annotated[Path | None, typer.Option(help="File of boxes to write, flushed frame by frame.")] = None,
    format_: Annotated[str, typer.Option("--format", help=f"Of --boxes: {', '.join(FORMATS)}.")] = "csv",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    show: Annotated[bool, typer.Option(help="Show the video while it is tracked.")] = False,
) -> None:
    """Follows the target marked in the first frame; its box is drawn with the mouse where --init is not given."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop closes the video, too
    try:
        summary = run(source, init, engine, config, output, boxes, format_, device, show, preset, rebuild)
    except DcfnetError as error:
        typer.echo(f"dcfnet-run: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("dcfnet-run: interrupted; what was tracked until here is written", err=True)
        raise typer.Exit(130) from None
    typer.echo(summary.text())


@dataclass
class Summary:
    """What a run did. seconds: inside the tracker, decoding and drawing left out."""

    boxes: list[Box] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Updates a second, the tracker alone."""
        return (len(self.boxes) - 1) / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """One line for a person."""
        speed = f", {self.fps:.1f} frames a second (the tracker alone)" if self.seconds else ""
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
    """All of dcfnet-run, with its options as arguments. Raises DcfnetError for what the operator can mend."""
    given = parse_box(init) if init is not None else None
    check_outputs(source, engine, [file for file in (output, boxes) if file])
    if layout not in FORMATS:
        raise SinkError(f"no format {layout!r}; there are {', '.join(FORMATS)}")
    if show and not has_display():
        raise SinkError("--show: there is no display; leave it out, and look at --output afterwards")
    tracker = open_tracker(engine, device, config, preset, rebuild)
    opened = open_source(source)
    frames = iter(opened)
    first = next(frames)
    box = target_box(given or draw_box(first), frame_size(first))
    tracker.init(first, box)
    summary = Summary()
    with ExitStack() as stack:
        video = stack.enter_context(VideoSink(output, opened.fps, frame_size(first))) if output else None
        writer = stack.enter_context(BoxWriter(boxes, layout)) if boxes else None
        if show:
            stack.callback(cv2.destroyAllWindows)
        ticks = _progress(stack, opened)
        for index, (frame, at, result) in enumerate(_track(tracker, first, box, frames, summary)):
            if writer:
                writer.write(index, at, result)
            if video:
                video.write(annotate(frame, at, result))
            next(ticks)
            if show and not _show(annotate(frame, at, result)):
                break
    return summary


def open_tracker(engine: Path | None, device: str, config: str | None, preset: str | None, rebuild: bool) -> Tracker:
    """The tracker of a model or engine; with `rebuild` an engine that is refused is built anew, once."""
    try:
        return Tracker(engine, device, config, preset=preset)
    except EngineError as refused:
        if engine is None or not rebuild:
            raise
        typer.echo(f"dcfnet-run: {refused}", err=True)
    from dcfnet.engines.make import rebuild as built_anew

    passport = built_anew(engine)
    typer.echo(f"dcfnet-run: {engine} is built anew with {passport.flavour} {passport.version}", err=True)
    return Tracker(engine, device, config, preset=preset)


def _track(
    tracker: Tracker, first: Frame, box: Box, frames: Iterator[Frame], summary: Summary
) -> Iterator[tuple[Frame, Box, Result | None]]:
    """Every frame with its box and result, the first one with the box given; counts into the summary."""
    summary.boxes.append(box)
    yield first, box, None
    for frame in frames:
        started = time.perf_counter()
        result = tracker.update(frame)
        summary.seconds += time.perf_counter() - started
        summary.lost += result.status is Status.LOST
        summary.boxes.append(result.box)
        yield frame, result.box, result


def parse_box(text: str, option: str = "--init") -> Box:
    """The box of "X,Y,W,H". Raises InvalidBoxError showing the text."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise InvalidBoxError(f"{option} {text}: must be four numbers, X,Y,W,H, such as 410,190,64,48") from None
    return Box(x, y, w, h)


def draw_box(frame: Frame) -> Box:
    """The box a person draws on the frame with the mouse. Raises InvalidBoxError where there is no display."""
    if not has_display():
        raise InvalidBoxError("no --init, and no display to draw the box on; give --init X,Y,W,H")
    x, y, w, h = cv2.selectROI(WINDOW, frame, showCrosshair=False)
    cv2.destroyWindow(WINDOW)
    if w == 0 or h == 0:
        raise InvalidBoxError("no box was drawn; draw one with the mouse and press Enter, or give --init X,Y,W,H")
    return Box(x, y, w, h)


def has_display() -> bool:
    """Whether windows can be opened. OpenCV is not asked: without a display it would end the whole process."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def check_outputs(source: str, engine: Path | None, outputs: list[Path]) -> None:
    """Raises SinkError where a result would overwrite what is being read, or another result."""
    reading = [os.path.realpath(file) for file in (source, engine) if file]  # links that lead in a circle, too
    for output in outputs:
        image = output.suffix.lower() in IMAGE_SUFFIXES and output.exists()
        if os.path.realpath(output) in reading or image:
            raise SinkError(f"{output}: would be written over the source, the model or an image; choose another place")
    if len({os.path.realpath(output) for output in outputs}) < len(outputs):
        raise SinkError(f"{outputs[0]}: given for two results; choose two files")


def _show(picture: Frame) -> bool:
    """Shows the picture; False once the person wants to end."""
    cv2.imshow(WINDOW, picture)
    return cv2.waitKey(1) not in (ord("q"), 27)


def _progress(stack: ExitStack, opened: FrameSource) -> Generator[None, None, None]:
    """A progress bar that every `next` moves by one frame; silent where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
    task = progress.add_task(Path(opened.name).name, total=opened.length)
    while True:
        progress.advance(task)
        yield
