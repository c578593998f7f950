"""dcfnet-train: trains the network from annotated footage and photographs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import typer
from dcfnet.errors import ConfigError, DcfnetError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet_train import options
from dcfnet_train.curves import curves
from dcfnet_train.loop import Validate, train
from dcfnet_train.overlap import overlapping
from dcfnet_train.pairs import Pairs
from dcfnet_train.ranks import Ranks, joined, restarts
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import LAST, Run
from dcfnet_train.validation import Validation
from dcfnet_train.videos import Video, open_sequences, read_footage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: options.Videos = None,
    photos: options.Photos = None,
    validate: options.Validate = None,
    exclude: options.Exclude = None,
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
            footage = _footage(videos or [], exclude or [], ranks)
            images = sorted(photos.glob("*.jpg")) + sorted(photos.glob("*.png")) if photos else []
            pairs = Pairs(footage, images, run.recipe, run.recipe.steps * run.recipe.batch)
            judge = _validation(validate, run.recipe, footage) if ranks.first else None
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


def _footage(places: list[str], tests: list[str], ranks: Ranks) -> list[Video]:
    """The videos that are in none of the test sets; those that are, are told."""
    videos = [video for place in places for video in read_footage(place)]
    shared = overlapping(videos, [sequence for place in tests for sequence in open_sequences(place)])
    for name, reason in shared.items() if ranks.first else ():
        typer.echo(f"left out: {name} {reason}", err=True)
    return [video for video in videos if video.name not in shared]


def _validation(place: str | None, recipe: Recipe, footage: list[Video]) -> Validate | None:
    """The tracker on the sequences of a place. Raises ConfigError where one of them is trained on."""
    if place is None:
        return None
    sequences = open_sequences(place)
    shared = overlapping(footage, sequences)
    if shared:
        told = "; ".join(f"{name} {reason}" for name, reason in shared.items())
        raise ConfigError(f"in --videos and in --validate, and a score on what is trained on is none: {told}")
    return Validation(sequences, recipe.tracker_config(recipe.stride))


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
