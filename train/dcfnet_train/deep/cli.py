"""python -m dcfnet_train.deep: trains a deep backbone with annotated footage and photos."""

from __future__ import annotations

from pathlib import Path

import typer
from dcfnet.errors import DcfnetError

from dcfnet_train import options
from dcfnet_train.deep.recipe import DeepRecipe
from dcfnet_train.deep.training import LAST, DeepRun, train_deep
from dcfnet_train.footage import Footage
from dcfnet_train.footage.images import photographs
from dcfnet_train.outputs import check_new_run
from dcfnet_train.pairs import Pairs

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: options.Videos = None,
    photos: options.Photos = None,
    exclude: options.Exclude = None,
    output: options.Output = Path("out/deep"),
    set_: options.Set = None,
    resume: options.Resume = False,
    save_every: options.SaveEvery = 100,
) -> None:
    """Trains the projections and the last blocks of a deep backbone. --resume needs the options of the first start."""
    try:
        file = _train(DeepRecipe().assign(set_ or []), videos, photos, exclude, output, resume, save_every)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        typer.echo(f"python -m dcfnet_train.deep: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{file}")


def _train(
    recipe: DeepRecipe,
    videos: list[str] | None,
    photos: Path | None,
    exclude: list[str] | None,
    output: Path,
    resume: bool,
    save_every: int,
) -> Path:
    if not resume:
        check_new_run(output, LAST)
    footage = Footage.gather(videos or [], exclude or [])
    for name, reason in footage.left_out.items():
        typer.echo(f"excluded: {name}: {reason}")
    images = photographs(photos)
    pairs = Pairs(footage.videos, images, recipe.of_pairs(), recipe.steps * recipe.batch)
    run = DeepRun.start(recipe, output)
    if resume:
        run.resume()
    return train_deep(run, pairs, save_every)
