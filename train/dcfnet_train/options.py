"""The options of dcfnet-train with their help texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dcfnet_train.recipe import RECIPES

Videos = Annotated[
    list[str] | None,
    typer.Option(help="Folder of annotated footage, LAYOUT:FOLDER or LAYOUT:SUBSET:FOLDER. Repeatable."),
]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs, from which pairs are rendered.")]
Validate = Annotated[
    str | None, typer.Option(help="Sequences for validation, written as for --videos. Saves best.safetensors.")
]
HoldOut = Annotated[
    float, typer.Option(metavar="SHARE", help="Share of the videos for validation; training never uses them.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Test sets, written as for --videos. Training excludes their videos.")
]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Before the first step, read every image and check the hashes of caches."),
]
Output = Annotated[Path, typer.Option(help="Folder of the run, for checkpoints and log.jsonl.")]
RecipeName = Annotated[str, typer.Option(help=f"Recipe: {', '.join(RECIPES)}, or a .toml file.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe.")]
Resume = Annotated[bool, typer.Option(help="Resume the run in --output.")]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Write curves to OUTPUT/tensorboard.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare pairs; 0 uses the training process.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads of torch; 0 keeps the default of torch.")]


def tell_unused_photos(photos: Sequence[Path], synthetic: float) -> None:
    """Prints that --photos has no effect, if the recipe renders no pair. synthetic: its setting."""
    if photos and not synthetic:
        typer.echo(
            "--photos is not used: synthetic=0 in this recipe; change it, for example --set synthetic=0.3", err=True
        )
