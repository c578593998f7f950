"""The arguments of dcfnet-run, as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dcfnet.backbones.loading import DEFAULT_MODEL
from dcfnet.cli.log import LAYOUTS
from dcfnet.cli.options import BIRTHS, DEATHS
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS
from dcfnet.config.version import __version__
from dcfnet.io.sinks.boxes import FORMATS
from dcfnet.io.sinks.coco import COCO
from dcfnet.model.file import SHIPPED

SEVERAL, PAGE, TELEMETRY = "Several targets", "Page", "Telemetry"  # titles of parts of the help


def print_version(wanted: bool) -> None:
    """Prints the version and ends the program, if wanted."""
    if wanted:
        typer.echo(f"dcfnet-run {__version__}")
        raise typer.Exit


def check_layout(layout: str) -> str:
    """The value of --log. Raises BadParameter."""
    if layout not in LAYOUTS:
        raise typer.BadParameter(f"{layout!r} must be one of {', '.join(LAYOUTS)}")
    return layout


Source: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        help="Video file, folder of images, pattern (img_%04d.png, 'img_*.png'), animation, camera (0 or /dev/video0), "
        "URL of a stream, pipe, GStreamer pipeline, bag of ROS (.mcap, .db3, .bag), or - for standard"
        " input. With --web it can be left out."
    ),
]
Init: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Target box in the first frame: left, top, width, height in pixels, 0-based. Repeat it for several "
        "targets; their ids are 1, 2, ... Default: draw one box.",
    ),
]
Targets: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="CSV file of targets, used instead of --init. A line is id,x,y,w,h or id,x,y,w,h,frame. The target starts "
        "in this frame (number from 0; default: the first frame).",
        rich_help_panel=SEVERAL,
    ),
]
DetectionFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--detections",
        help="File with boxes of a detector; targets take these boxes. MOTChallenge's format: frame,id,x,y,w,h,score, "
        "1-based.",
        rich_help_panel=SEVERAL,
    ),
]
MinScore: TypeAlias = Annotated[
    float, typer.Option(help="Detector boxes with a lower score are not used.", rich_help_panel=SEVERAL)
]
Births: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Start a target where N frames in a row have a detector box that no target took. 0: never. "
        f"Default: 0 with --init or --targets, else {BIRTHS}.",
        rich_help_panel=SEVERAL,
    ),
]
BirthScore: TypeAlias = Annotated[
    float, typer.Option(help="Detector boxes with a lower score start no target.", rich_help_panel=SEVERAL)
]
Deaths: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="End a target that was lost or uncertain in N frames in a row, or that follows the object of another "
        "target. 0: never. "
        f"Default: {DEATHS} if --births starts targets, else 0.",
        rich_help_panel=SEVERAL,
    ),
]
WithoutBox: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="End a target that took no detector box in N frames in a row. 0: never.",
        rich_help_panel=SEVERAL,
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
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting of the preset or of --config, for example camera_motion=true; may be repeated.",
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Write an annotated video (.mp4, .avi, .mkv or .mov). It lasts as long as the source."),
]
Boxes: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Write the boxes to a file: one line per target and frame, written at once. - is standard output. "
        "FILE.mcap: a bag with one vision_msgs/Detection2DArray per frame; it needs the extra bags."
    ),
]
Topic: TypeAlias = Annotated[
    str | None, typer.Option(help="Topic of the images in a bag. Default: the only topic with images.")
]
Failures: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--record-failures",
        metavar="DIR",
        help="Record failures: the target is lost, or uncertain in 15 frames in a row. DIR gets pictures "
        "and results from 3 s before to 1 s after each failure, and index.html. At most 20 failures and 200 MiB. It "
        "takes 1 to 3 ms a frame.",
    ),
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option("--format", help=f"Format of --boxes: {', '.join((*FORMATS, COCO))}. Default: csv. Not for a bag."),
]
Range: TypeAlias = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="first|full|LOW,HIGH",
        help="Levels that become black and white, in images of more than 8 bits: the range of the first image (first), "
        "all levels (full), or two numbers.",
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
        help="Track every frame that arrives from a camera or stream. Default: track the newest one, skip the others.",
    ),
]
Reconnect: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="How long the run tries to connect again after a camera or stream stopped. Then the exit code is 4.",
    ),
]
Show: TypeAlias = Annotated[bool, typer.Option(help="Show the video during tracking; q or Esc stops.")]
Web: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--web",
        help="Serve a page for a browser on this computer: choose a video, draw the box, watch, download the results. "
        "It needs the extra web.",
        rich_help_panel=PAGE,
    ),
]
WebPort: TypeAlias = Annotated[
    int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of --web; 0: a free one.", rich_help_panel=PAGE)
]
UploadLimit: TypeAlias = Annotated[
    int, typer.Option(min=1, metavar="MB", help="Largest video that --web accepts.", rich_help_panel=PAGE)
]
Metrics: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Serve metrics for Prometheus at /metrics, and /health, during the run. Without HOST, only this computer "
        "can read them. It needs the extra metrics.",
        rich_help_panel=TELEMETRY,
    ),
]
Log: TypeAlias = Annotated[
    str,
    typer.Option(
        "--log",
        callback=check_layout,
        metavar="|".join(LAYOUTS),
        help="Layout of the messages on standard error: lines of text, or one JSON object per line. JSON also has the "
        "changes of status.",
        rich_help_panel=TELEMETRY,
    ),
]
Record: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.mcap",
        help="Record pictures, boxes, confidence and response map for Foxglove. It needs the extra foxglove.",
        rich_help_panel=TELEMETRY,
    ),
]
Version: TypeAlias = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
]
