"""The options of dcfnet-calibrate with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.backbones.loading import DEFAULT_MODEL
from dcfnet.config import DEFAULT_PRESET, PRESETS
from dcfnet_evaluation.datasets import LAYOUTS

from dcfnet_calibration.patches import HARD
from dcfnet_calibration.ranges import METHODS
from dcfnet_calibration.space import SPACE

Root: TypeAlias = Annotated[Path, typer.Argument(help="Folder of annotated sequences.")]
Roots: TypeAlias = Annotated[list[Path], typer.Argument(help="Folders of annotated sequences.")]
Layout: TypeAlias = Annotated[str, typer.Option(help=f"Layout of the folder: {', '.join(LAYOUTS)}.")]
Names: TypeAlias = Annotated[str | None, typer.Option("--sequences", help="Names, separated by commas; default: all.")]
ModelFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="FILE", help=f"Float32 model, or name of a shipped model. Default: {DEFAULT_MODEL}."
    ),
]
ModelOfRanges: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--model",
        metavar="FILE",
        help="Float32 model of dcfnet-export, or the shipped model dcfnet.",
        show_default=True,
    ),
]
Preset: TypeAlias = Annotated[str, typer.Option(help=f"Preset: {', '.join(PRESETS)}.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Seed; the same seed produces the same result.", min=0)]
Method: TypeAlias = Annotated[str, typer.Option(help=f"Calibration method: {', '.join(METHODS)}.")]
Count: TypeAlias = Annotated[
    int, typer.Option("--patches", help=f"Number of patches; {HARD:.0%} are made hard.", min=8)
]
RangesFile: TypeAlias = Annotated[Path, typer.Option("--output", metavar="FILE", help="Output file.")]
Constants: TypeAlias = Annotated[
    str, typer.Option(help=f"Constants to search, separated by commas: {', '.join(SPACE)}.")
]
Trials: TypeAlias = Annotated[int, typer.Option(help="Sets of constants per search.", min=2)]
Starts: TypeAlias = Annotated[
    int, typer.Option(help="Starts per sequence, spread over it; 1 is OPE. More starts reduce noise.", min=1, max=20)
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Frames after each start; default: all.", min=2)]
Folds: TypeAlias = Annotated[int, typer.Option(help="Parts of the sequences; each part is held out once.", min=2)]
Output: TypeAlias = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder of the search and its result. A stopped search continues.")
]
Fresh: TypeAlias = Annotated[bool, typer.Option("--fresh", help="Delete the search in --output.")]
Into: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a copy of the model with the tuned constants.")
]
FitFile: TypeAlias = Annotated[Path, typer.Option("--output", metavar="FILE", help="File for the fit, JSON.")]
IntoConfidence: TypeAlias = Annotated[
    Path | None, typer.Option("--into", metavar="FILE", help="Write a copy of the model with the fit.")
]
PRESET, ALL_CONSTANTS = DEFAULT_PRESET, ",".join(SPACE)  # defaults
