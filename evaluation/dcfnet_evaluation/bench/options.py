"""The options of dcfnet-bench that dcfnet-eval does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from dcfnet.backbones.selection import ENGINES
from dcfnet.config import PRESETS

Root: TypeAlias = Annotated[
    Path | None, typer.Argument(help="Folder of the unpacked dataset. Default: rendered clips.")
]
Preset: TypeAlias = Annotated[
    str | None, typer.Option(help=f"Operating points of the model, separated by commas. Default: {','.join(PRESETS)}.")
]
Engine: TypeAlias = Annotated[str, typer.Option(help=f"Engine that runs the backbone: {', '.join(ENGINES)}.")]
Size: TypeAlias = Annotated[
    str, typer.Option(metavar="WxH", help="Size to which frames and boxes are scaled, or native.")
]
Limit: TypeAlias = Annotated[int | None, typer.Option(help="Use only the first N frames of each sequence.", min=2)]
WarmUp: TypeAlias = Annotated[int, typer.Option(help="First updates of each pass that do not count.", min=0)]
Repeats: TypeAlias = Annotated[int, typer.Option(help="Passes of each tracker over each sequence.", min=1)]
Targets: TypeAlias = Annotated[
    str, typer.Option(help="Numbers of targets in one MultiTracker, separated by commas, or none.")
]
ColdStarts: TypeAlias = Annotated[int, typer.Option(help="Timed starts of dcfnet-run per preset.", min=0)]
Stages: TypeAlias = Annotated[bool, typer.Option(help="Measure the time of each stage in an additional pass.")]
Reference: TypeAlias = Annotated[
    str | None, typer.Option(help="Tracker whose FPS are 1 in ratios. Default: CSRT, if it runs.")
]
Output: TypeAlias = Annotated[Path, typer.Option(help="Folder for bench.json.")]
A: TypeAlias = Annotated[Path, typer.Argument(metavar="A", help="Current version: an --output folder or a bench.json.")]
B: TypeAlias = Annotated[Path, typer.Argument(metavar="B", help="New version.")]
Gate: TypeAlias = Annotated[float, typer.Option(help="Allowed slowdown of B; 0.05 is 5 %.", min=0)]
Tracker: TypeAlias = Annotated[str | None, typer.Option(help="Compare only this tracker. Default: all in both files.")]
Scores: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SCORES", help="Accuracy: an --output folder of dcfnet-eval or a scores.json.")
]
Bench: TypeAlias = Annotated[
    Path, typer.Argument(metavar="BENCH", help="Speed: an --output folder of dcfnet-bench run or a bench.json.")
]
Page: TypeAlias = Annotated[
    Path, typer.Option(metavar="FILE.md", help="Markdown file for the table; the plots are written beside it.")
]
