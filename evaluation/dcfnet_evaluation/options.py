"""The options of dcfnet-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.backbones.loading import DEFAULT_MODEL
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS
from dcfnet.model.file import SHIPPED

from dcfnet_evaluation.faults.catalogue import FAULTS

Root: TypeAlias = Annotated[Path, typer.Argument(help="Folder of the unpacked dataset.")]
Models: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        metavar="FILE",
        help=f"Model file, or name of a shipped model ({', '.join(SHIPPED)}); may be repeated. "
        f"Default: {DEFAULT_MODEL}.",
    ),
]
Preset: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"Operating points of the model, separated by commas: {', '.join(PRESETS)}. Default: {DEFAULT_PRESET}."
    ),
]
Config: TypeAlias = Annotated[
    str | None, typer.Option(help=f"Constants for the model dcfnet, used instead of a preset: {', '.join(CONSTANTS)}.")
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a constant of the tracker; may be repeated."),
]
Add: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=MODULE:CLASS", help="Add a Python class with init(frame, box) and update(frame)."),
]
Results: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FOLDER", help="Add the published OPE boxes of a tracker: one text file per sequence."),
]
Peers: TypeAlias = Annotated[bool, typer.Option("--peers", help="Add all trackers of the installed OpenCV.")]
Peer: TypeAlias = Annotated[str | None, typer.Option(help="Add these trackers of OpenCV, separated by commas.")]
PeerModels: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of the model files of Nano, Vit and DaSiamRPN.")
]
Subset: TypeAlias = Annotated[str | None, typer.Option(help="Subset of the dataset, for example otb2013 or val.")]
Names: TypeAlias = Annotated[
    str | None, typer.Option("--sequences", help="Names of sequences, separated by commas. Default: all.")
]
Protocol: TypeAlias = Annotated[
    str, typer.Option(help="ope: one pass; tre: up to 20 start frames; sre: 12 shifted or scaled first boxes.")
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Use only the first N frames of each pass.", min=2)]
Rates: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Rates of a simulated camera in Hz, separated by commas, or none. A tracker misses the frames that arrive "
        "while it computes. auto: 30,60 for ope with one worker."
    ),
]
Memory: TypeAlias = Annotated[bool, typer.Option(help="Measure the memory of each tracker; needs one worker.")]
Workers: TypeAlias = Annotated[
    int, typer.Option(help="Number of local processes. Times are measured only with one.", min=1)
]
Ray: TypeAlias = Annotated[str | None, typer.Option(help='Address of a Ray cluster that can read ROOT, or "local".')]
Published: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="CSV table of published scores, which the report shows: tracker,sequence,auc,prec20."),
]
Submission: TypeAlias = Annotated[
    Path | None, typer.Option(help="Archive (.zip) to write for the GOT-10k evaluation server.")
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder for boxes, scores and report. A stopped run continues there. Default: in out/eval/."),
]
Fresh: TypeAlias = Annotated[bool, typer.Option("--fresh", help="Delete the run in --output and start again.")]
Report: TypeAlias = Annotated[bool, typer.Option(help="Write report.html and its plots.")]
Faults: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help=f"Also run with faults in the frames: all, or names separated by commas ({', '.join(FAULTS)}). "
        "Prints a table instead of a report.",
    ),
]
Scales: TypeAlias = Annotated[str, typer.Option(help="Numbers of scales, separated by commas.")]
DEFAULT_LAYOUT = "otb"
LayoutName: TypeAlias = Annotated[str, typer.Option(help="Layout of the dataset.")]
A: TypeAlias = Annotated[
    Path, typer.Argument(metavar="A", help="Scores of the current version: an --output folder or a scores.json.")
]
B: TypeAlias = Annotated[Path, typer.Argument(metavar="B", help="Scores of the new version.")]
Tracker: TypeAlias = Annotated[str | None, typer.Option(help="Tracker to compare. Default: the first one.")]
