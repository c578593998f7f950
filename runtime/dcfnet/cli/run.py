"""dcfnet-run: tracks one target in a video. Only this module of the package imports typer."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import cv2
import typer

from dcfnet.backbones.loading import DEFAULT_MODEL
from dcfnet.cli.outputs import STDOUT
from dcfnet.cli.session import RunOptions, run
from dcfnet.cli.summary import Summary
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS
from dcfnet.config.version import __version__
from dcfnet.errors import DcfnetError
from dcfnet.io.addresses import without_secrets
from dcfnet.io.boxes import FORMATS
from dcfnet.model.file import SHIPPED

PARTIAL = 3  # exit code: the results are written, but frames of the source are missing
BROKEN_PIPE = 141  # exit code of a shell for a program that wrote into a closed pipe
INTERRUPTED = 130
DIED = 4  # exit code: a live source ended

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def print_version(wanted: bool) -> None:
    """Prints the version and ends the program, if wanted."""
    if wanted:
        typer.echo(f"dcfnet-run {__version__}")
        raise typer.Exit


Source: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="Video file, folder of images, pattern (img_%04d.png, 'img_*.png'), animation, camera (0 or /dev/video0), "
        "URL of a stream, pipe, GStreamer pipeline, or - for standard input."
    ),
]
Init: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Target box in the first frame: left, top, width, height in pixels, 0-based. Default: draw it.",
    ),
]
Engine: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help=f"Model (.onnx) or TensorRT engine (.engine) from dcfnet-export, or the name of a shipped model: "
        f"{', '.join(SHIPPED)}. Default: {DEFAULT_MODEL}."
    ),
]
Rebuild: TypeAlias = Annotated[
    bool, typer.Option(help="If the engine file is rejected, build it again from ENGINE.onnx beside it.")
]
Preset: TypeAlias = Annotated[
    str | None, typer.Option(help=f"Operating point: {', '.join(PRESETS)}. Default: {DEFAULT_PRESET}.")
]
Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"Set of constants for the model dcfnet, used instead of a preset: {', '.join(CONSTANTS)}.",
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Write an annotated video (.mp4, .avi, .mkv or .mov). It lasts as long as the source."),
]
Boxes: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Write the boxes to a file, one line per frame, unbuffered. - is standard output."),
]
Failures: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--record-failures",
        metavar="DIR",
        help="When the target is lost, or the confidence is low in 15 frames in a row, write pictures and results from "
        "3 s before to 1 s after it, and DIR/index.html. At most 20 failures and 200 MiB. It takes 1 to 3 ms a frame.",
    ),
]
Format: TypeAlias = Annotated[str, typer.Option("--format", help=f"Format of --boxes: {', '.join(FORMATS)}.")]
Range: TypeAlias = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="first|full|LOW,HIGH",
        help="Levels of images of more than 8 bits that become black and white: the range of the first image, all "
        "levels, or two numbers.",
    ),
]
Device: TypeAlias = Annotated[str, typer.Option(help="Device: auto (the GPU if it can be used), cpu or cuda.")]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of ONNX Runtime on the CPU. Default: one per core.")
]
EveryFrame: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--every-frame",
        help="Track every frame that arrives from a camera or stream. Default: track the newest one, leave out others.",
    ),
]
Reconnect: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Time to connect again to a camera or stream that sends no more frames. After it, the run ends with "
        "exit code 4.",
    ),
]
Show: TypeAlias = Annotated[bool, typer.Option(help="Show the video during tracking; q or Esc stops.")]
Version: TypeAlias = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
]


@app.command()
def main(
    source: Source,
    init: Init = None,
    engine: Engine = None,
    rebuild: Rebuild = False,
    preset: Preset = None,
    config: Config = None,
    output: Output = None,
    boxes: Boxes = None,
    format_: Format = "csv",
    levels: Range = "first",
    device: Device = "auto",
    threads: Threads = None,
    failures: Failures = None,
    every_frame: EveryFrame = False,
    reconnect: Reconnect = 30.0,
    show: Show = False,
    version: Version = False,
) -> None:
    """Tracks one target through a video. Without --init, draw its box in the first frame with the mouse.

    Exit codes: 0 complete, 1 error, 2 wrong or missing option, 3 partial (frames of the source are missing), 4 a camera
    or stream ended, 130 interrupted, 141 the reader of the output ended.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM also closes the video properly
    quieten_opencv()
    options = RunOptions(
        *(source, init, engine, config, output, boxes, format_, device, show, preset, rebuild, levels, threads),
        *(failures, every_frame, reconnect),
    )
    if code := run_and_report(options):
        raise typer.Exit(code)


def run_and_report(options: RunOptions) -> int:
    """Runs, and prints errors, losses and the summary. Returns the exit code."""
    summary, to_stderr = Summary(), options.boxes == STDOUT
    try:
        run(options, summary)
        for problem in (*summary.problems, *filter(None, [summary.died])):
            typer.echo(f"dcfnet-run: {without_secrets(options.source)}: {problem}", err=True)
        typer.echo(summary.text(), err=to_stderr)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return BROKEN_PIPE
    except DcfnetError as error:
        typer.echo(f"dcfnet-run: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("dcfnet-run: interrupted; the results up to this frame are saved", err=True)
        if summary.frames:
            typer.echo(summary.text(), err=to_stderr)
        return INTERRUPTED
    if summary.died:
        return DIED
    return PARTIAL if summary.problems else 0


def quieten_opencv() -> None:
    """Turns off warnings of OpenCV and FFmpeg, which name no remedy; the messages of this program do."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
