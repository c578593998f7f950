"""dcfnet-train: trains the network from annotated footage and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from dcfnet.errors import DcfnetError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet_train.loop import LAST, Run, train
from dcfnet_train.pairs import Pairs
from dcfnet_train.recipe import RECIPES, Recipe
from dcfnet_train.videos import read_videos

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of annotated footage, OTB layout or boxes.csv clips; may be repeated."),
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs for rendered pairs.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the run: checkpoints and log.jsonl.")] = Path("out/train"),
    recipe: Annotated[str, typer.Option(help=f"Starting point: {', '.join(RECIPES)}, or a .toml file.")] = "default",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a setting of the recipe.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where the run in --output stopped.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pairs.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the network; 0 leaves it to torch.")] = 0,
) -> None:
    """Trains the backbone end to end through the correlation filter."""
    if resume and (set_ or recipe != "default"):
        raise typer.BadParameter("--resume goes on with the recipe of the run; leave out --set and --recipe")
    try:
        run = Run.resume(output) if resume else Run.start(Recipe.load(recipe).assign(set_ or []), output)
        if not resume and (output / LAST).exists():
            raise typer.BadParameter(f"{output} holds a run already; add --resume, or choose another --output")
        footage = [video for root in videos or [] for video in read_videos(root)]
        images = sorted(photos.glob("*.jpg")) + sorted(photos.glob("*.png")) if photos else []
        pairs = Pairs(footage, images, run.recipe, run.recipe.steps * run.recipe.batch)
        if threads:
            torch.set_num_threads(threads)
        file = _train_watched(run, pairs, workers)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        typer.echo(f"dcfnet-train: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{file}: trained {run.step} steps")


def _train_watched(run: Run, pairs: Pairs, workers: int) -> Path:
    columns = (TextColumn("step"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("train", total=run.recipe.steps, completed=run.step, loss="")
        run.on_step.append(lambda step, loss: progress.update(task, completed=step, loss=f"loss {loss:.2f}"))
        return train(run, pairs, workers)
