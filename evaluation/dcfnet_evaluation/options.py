"""The options of dcfnet-eval, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.config import CONSTANTS, DEFAULT_PRESET, PRESETS

Root: TypeAlias = Annotated[Path, typer.Argument(help="Folder of the dataset, as it is unpacked.")]
Models: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--model", metavar="FILE", help="Model file, may be repeated; without it the shipped one."),
]
Preset: TypeAlias = Annotated[
    str | None,
    typer.Option(help=f"Operating points, separated by commas: {', '.join(PRESETS)}. [{DEFAULT_PRESET}]"),
]
Config: TypeAlias = Annotated[str | None, typer.Option(help=f"Constants in place of a preset: {', '.join(CONSTANTS)}.")]
Set: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a constant of the tracker.")
]
Add: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=MODULE:CLASS", help="Another tracker, with init(frame, box) and update(frame)."),
]
Results: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FOLDER", help="Another tracker's published boxes, a text file a sequence (OPE)."),
]
Peers: TypeAlias = Annotated[bool, typer.Option("--peers", help="OpenCV's trackers beside it, all there are.")]
Peer: TypeAlias = Annotated[str | None, typer.Option(help="Only these of OpenCV's, separated by commas.")]
PeerModels: TypeAlias = Annotated[Path | None, typer.Option(help="Folder of the files that Nano, Vit, DaSiamRPN need.")]
Subset: TypeAlias = Annotated[str | None, typer.Option(help="A list of the dataset by name, such as otb2013 or val.")]
Names: TypeAlias = Annotated[str | None, typer.Option("--sequences", help="Names, separated by commas; else all.")]
Protocol: TypeAlias = Annotated[
    str, typer.Option(help="ope: one pass; tre: 20 starts in time; sre: 12 first boxes that are a little off.")
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Only the first frames of each pass.", min=2)]
Rates: TypeAlias = Annotated[
    str,
    typer.Option(help="Hz of cameras to track against, separated by commas, or none. [30,60 for ope by one worker]"),
]
Memory: TypeAlias = Annotated[bool, typer.Option(help="Measure the memory of each tracker, by one worker only.")]
Workers: TypeAlias = Annotated[int, typer.Option(help="Local processes. Times are taken by one alone.", min=1)]
Ray: TypeAlias = Annotated[str | None, typer.Option(help='Address of a Ray cluster that sees ROOT, or "local".')]
Published: TypeAlias = Annotated[
    Path | None, typer.Option(help="Table of published scores (csv: tracker,sequence,auc,prec20) to show beside.")
]
Submission: TypeAlias = Annotated[
    Path | None, typer.Option(help="Archive (.zip) to write for the evaluation server of GOT-10k.")
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder of boxes, scores and report; a run that was stopped goes on there. [out/eval/...]"),
]
Fresh: TypeAlias = Annotated[bool, typer.Option("--fresh", help="Throw away the run that --output holds.")]
Report: TypeAlias = Annotated[bool, typer.Option(help="Write report.html and the plots.")]
Scales: TypeAlias = Annotated[str, typer.Option(help="Sizes of the scale pyramid, separated by commas.")]
LayoutName: TypeAlias = Annotated[str, typer.Option(help="Layout of the dataset.")]
A: TypeAlias = Annotated[
    Path, typer.Argument(metavar="A", help="Scores of what is there: an --output, or scores.json.")
]
B: TypeAlias = Annotated[Path, typer.Argument(metavar="B", help="Scores of what shall replace it.")]
Tracker: TypeAlias = Annotated[str | None, typer.Option(help="Whose scores, where there are several; else the first.")]
