"""dcfnet-train: trains the network from annotated footage and photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import typer
from dcfnet.errors import ConfigError, DcfnetError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet_train import options
from dcfnet_train.curves import curves
from dcfnet_train.footage import Footage
from dcfnet_train.inspection import images_looked_at, inspect
from dcfnet_train.loop import Validate, train
from dcfnet_train.pairs import Pairs
from dcfnet_train.ranks import Ranks, joined, restarts
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import LAST, Run
from dcfnet_train.validation import Validation

TOLD = 10  # lines of a kind that are told

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: options.Videos = None,
    photos: options.Photos = None,
    validate: options.Validate = None,
    hold_out: options.HoldOut = 0,
    exclude: options.Exclude = None,
    verify: options.Verify = False,
    output: options.Output = Path("out/train"),
    recipe: options.RecipeName = "default",
    set_: options.Set = None,
    resume: options.Resume = False,
    tensorboard: options.Tensorboard = False,
    device: options.Device = "auto",
    save_every: options.SaveEvery = 100,
    workers: options.Workers = 1,
    threads: options.Threads = 0,
) -> None:
    """Trains the backbone end to end through the correlation filter.

    Under torchrun, on several processes; one that torchrun starts anew goes on from the last checkpoint.
    """
    if resume and (set_ or recipe != "default"):
        raise typer.BadParameter("--resume goes on with the recipe of the run; leave out --set and --recipe")
    if threads:
        torch.set_num_threads(threads)
    try:
        with joined(device) as ranks:
            goes_on = resume or (restarts() > 0 and (output / LAST).exists())
            run = _open(output, None if goes_on else Recipe.load(recipe).assign(set_ or []), ranks)
            ranks.wait()  # or one would find the checkpoint that another has just begun with
            footage = Footage.gather(videos or [], exclude or [], hold_out, verify)
            footage.check_held_out(run.held_out_before())
            images = sorted(photos.glob("*.jpg")) + sorted(photos.glob("*.png")) if photos else []
            run.held_out = tuple(video.name for video in footage.held_out)
            judge = _prepare(footage, images, validate, run.recipe, verify) if ranks.first else None
            pairs = Pairs(footage.videos, images, run.recipe, run.recipe.steps * run.recipe.batch)
            shown = curves(run) if tensorboard and ranks.first else nullcontext()
            with _watched(run, ranks), shown:
                file = train(run, pairs, workers, save_every, judge, ranks)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        typer.echo(f"dcfnet-train: {_told(error)}", err=True)
        raise typer.Exit(1) from error
    if ranks.first:
        typer.echo(f"{file}: trained {run.step} steps")


def _told(error: Exception) -> str:
    """What is wrong. An error of a process that prepares pairs brings its traceback, and says what it is at the end."""
    text = str(error)
    return text.strip().splitlines()[-1] if "Original Traceback" in text else text


def _open(output: Path, recipe: Recipe | None, ranks: Ranks) -> Run:
    """A fresh run of the recipe, or the one in `output` where there is none. Raises ConfigError for a folder in use."""
    if recipe is None:
        return Run.resume(output, ranks.device)
    if (output / LAST).exists():
        raise ConfigError(f"{output} holds a run already; add --resume, or choose another --output")
    return Run.start(recipe, output, ranks.device)


def _prepare(footage: Footage, photos: list[Path], place: str | None, recipe: Recipe, every: bool) -> Validate | None:
    """What the first process does before the first step: tells, inspects, and opens the sequences to judge by."""
    _tell(footage)
    _inspect(footage, photos, recipe, every)
    sequences = footage.judges(place)
    return Validation(sequences, recipe.tracker_config(recipe.stride)) if sequences else None


def _tell(footage: Footage) -> None:
    """What is left out, and what is held out, with what that is good for."""
    _tell_some("left out", [f"{name} {reason}" for name, reason in footage.left_out.items()])
    if footage.held_out:
        typer.echo(f"held out: {', '.join(video.name for video in footage.held_out)}", err=True)
        if any(video.centred for video in footage.held_out):
            typer.echo("held out: crops around the target judge no tracker; give --validate", err=True)


def _inspect(footage: Footage, photos: list[Path], recipe: Recipe, every: bool) -> None:
    """Tells what is passed over. Raises ConfigError naming all that would end the run, or spoil it."""
    videos = [*footage.videos, *footage.held_out]
    with Progress(TextColumn("images"), BarColumn(), MofNCompleteColumn(), transient=True) as progress:
        task = progress.add_task("images", total=images_looked_at(videos, every))
        found = inspect(videos, photos, recipe, every, lambda images: progress.advance(task, images))
    _tell_some("passed over", found.passed_over)
    if found.faults:
        raise ConfigError("the footage cannot be learnt from as it is:\n" + "\n".join(found.faults))


def _tell_some(what: str, lines: Sequence[str]) -> None:
    for line in lines[:TOLD]:
        typer.echo(f"{what}: {line}", err=True)
    if len(lines) > TOLD:
        typer.echo(f"{what}: {len(lines) - TOLD} more", err=True)


@contextmanager
def _watched(run: Run, ranks: Ranks) -> Iterator[None]:
    """A bar that says how far the run is, of the first process."""
    told = (TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[auc]}"))
    columns = (TextColumn("step"), BarColumn(), MofNCompleteColumn(), *told, TimeRemainingColumn())
    with Progress(*columns, disable=not ranks.first) as progress:
        task = progress.add_task("train", total=run.recipe.steps, completed=run.step, loss="", auc="")
        run.on_step.append(lambda step, loss: progress.update(task, completed=step, loss=f"loss {loss:.2f}"))
        run.on_validation.append(lambda step, auc: progress.update(task, auc=f"AUC {auc:.3f}"))
        yield
