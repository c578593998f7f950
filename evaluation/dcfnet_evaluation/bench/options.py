"""The options of dcfnet-bench, each described once; those that dcfnet-eval has too are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.backbones import ENGINES
from dcfnet.config import PRESETS

Root: TypeAlias = Annotated[
    Path | None, typer.Argument(help="Folder of the dataset, as it is unpacked; without it, rendered clips.")
]
Preset: TypeAlias = Annotated[
    str | None, typer.Option(help=f"Operating points, separated by commas. [{','.join(PRESETS)}]")
]
Engine: TypeAlias = Annotated[str, typer.Option(help=f"What runs the network: {', '.join(ENGINES)}.")]
Size: TypeAlias = Annotated[
    str, typer.Option(metavar="WxH", help="Frames are stretched to this size, boxes with them; or native.")
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Only the first frames of each sequence.", min=2)]
WarmUp: TypeAlias = Annotated[int, typer.Option(help="Updates at the head of each pass that do not count.", min=0)]
Repeats: TypeAlias = Annotated[int, typer.Option(help="Passes of each tracker over each sequence, in turns.", min=1)]
Targets: TypeAlias = Annotated[
    str, typer.Option(help="Numbers of targets in one MultiTracker, separated by commas, or none.")
]
ColdStarts: TypeAlias = Annotated[int, typer.Option(help="Starts of dcfnet-run per preset, to its first box.", min=0)]
Stages: TypeAlias = Annotated[bool, typer.Option(help="Tell the parts of a frame apart, in a pass of its own.")]
Reference: TypeAlias = Annotated[str | None, typer.Option(help="Tracker that FPS are compared to. [CSRT, if it runs]")]
Output: TypeAlias = Annotated[Path, typer.Option(help="Folder of bench.json.")]
A: TypeAlias = Annotated[Path, typer.Argument(metavar="A", help="What is there: an --output, or bench.json.")]
B: TypeAlias = Annotated[Path, typer.Argument(metavar="B", help="What shall replace it.")]
Gate: TypeAlias = Annotated[float, typer.Option(help="B may be slower by this share, 0.05 is 5 %.", min=0)]
Tracker: TypeAlias = Annotated[str | None, typer.Option(help="Only this one; else all that both have.")]
Scores: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SCORES", help="How well: an --output of dcfnet-eval, or scores.json.")
]
Bench: TypeAlias = Annotated[
    Path, typer.Argument(metavar="BENCH", help="How fast: an --output of dcfnet-bench run, or bench.json.")
]
Page: TypeAlias = Annotated[Path, typer.Option(metavar="FILE.md", help="Table to write; the plots lie beside it.")]
