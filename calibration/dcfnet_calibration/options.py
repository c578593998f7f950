"""The options of dcfnet-calibrate, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.config import DEFAULT_PRESET, PRESETS
from dcfnet_evaluation.datasets import LAYOUTS

from dcfnet_calibration.patches import HARD
from dcfnet_calibration.ranges import METHODS
from dcfnet_calibration.space import SPACE

Root: TypeAlias = Annotated[Path, typer.Argument(help="Folder of annotated sequences.")]
Layout: TypeAlias = Annotated[str, typer.Option(help=f"How they lie there: {', '.join(LAYOUTS)}.")]
Names: TypeAlias = Annotated[str | None, typer.Option("--sequences", help="Names, separated by commas; else all.")]
ModelFile: TypeAlias = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Float32 model; without it the shipped one.")
]
Preset: TypeAlias = Annotated[str, typer.Option(help=f"Operating point: {', '.join(PRESETS)}.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="The same seed, the same result.", min=0)]
Method: TypeAlias = Annotated[str, typer.Option(help=f"Calibrator: {', '.join(METHODS)}.")]
Count: TypeAlias = Annotated[
    int, typer.Option("--patches", help=f"Patches to measure on; {HARD:.0%} are hard ones.", min=8)
]
RangesFile: TypeAlias = Annotated[Path, typer.Option("--output", metavar="FILE", help="File to write.")]
Constants: TypeAlias = Annotated[str, typer.Option(help=f"What to search, separated by commas: {', '.join(SPACE)}.")]
Trials: TypeAlias = Annotated[int, typer.Option(help="Sets of constants that each search tries.", min=2)]
Starts: TypeAlias = Annotated[
    int, typer.Option(help="Starts in each sequence, spread over it; 1 is OPE. More are steadier.", min=1, max=20)
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Only the first frames after each start.", min=2)]
Folds: TypeAlias = Annotated[int, typer.Option(help="Parts of the sequences, each left out once.", min=2)]
Output: TypeAlias = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Of the search and its result; one that was stopped goes on there.")
]
Fresh: TypeAlias = Annotated[bool, typer.Option("--fresh", help="Throw away the search that --output holds.")]
Into: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a copy of the model that holds the constants found.")
]
PRESET, EVERY = DEFAULT_PRESET, ",".join(SPACE)  # what is chosen where nothing is said
