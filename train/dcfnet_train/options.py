"""The options of dcfnet-train, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcfnet_train.recipe import RECIPES

Videos = Annotated[
    list[str] | None,
    typer.Option(help="Folder of annotated footage, or LAYOUT:FOLDER, LAYOUT:SUBSET:FOLDER; may be repeated."),
]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs for rendered pairs.")]
Validate = Annotated[
    str | None, typer.Option(help="Sequences to track every so often, named likewise: best.safetensors.")
]
HoldOut = Annotated[
    float, typer.Option(metavar="SHARE", help="Share of the videos that is never learnt from, and tracked to validate.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Test sets, named likewise: footage that is also in them is left out.")
]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Read every image, and compare caches with their hashes, before the first step."),
]
Output = Annotated[Path, typer.Option(help="Folder of the run: checkpoints and log.jsonl.")]
RecipeName = Annotated[str, typer.Option(help=f"Starting point: {', '.join(RECIPES)}, or a .toml file.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a setting of the recipe.")]
Resume = Annotated[bool, typer.Option(help="Go on where the run in --output stopped.")]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Curves in OUTPUT/tensorboard.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare pairs.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads of the network; 0 leaves it to torch.")]
