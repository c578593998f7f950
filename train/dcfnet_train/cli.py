"""dcfnet-train: trains the network on annotated footage and photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import typer
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from dcfnet.errors import ConfigError, DcfnetError
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from dcfnet_train import options
from dcfnet_train.curves import curves
from dcfnet_train.footage import Footage
from dcfnet_train.footage.images import photographs
from dcfnet_train.footage.inspection import images_looked_at, inspect
from dcfnet_train.loop import Validate, train
from dcfnet_train.outputs import check_new_run
from dcfnet_train.pairs import Pairs
from dcfnet_train.ranks import Ranks, joined, restarts
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import LAST, Run
from dcfnet_train.validation import Validation

MAX_LINES = 10  # printed lines of each kind

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

    Runs on several processes under torchrun. If torchrun restarts them, they resume from the last checkpoint.
    """
    if resume and (set_ or recipe != "default"):
        raise typer.BadParameter("--resume uses the recipe of the run; remove --set and --recipe")
    if threads:
        torch.set_num_threads(threads)
    try:
        with joined(device) as ranks:
            resumes = resume or (restarts() > 0 and (output / LAST).exists())
            run = _open(output, None if resumes else Recipe.load(recipe).assign(set_ or []), ranks)
            ranks.wait()  # a process must not find the first checkpoint of another process
            if exclude and not videos:
                raise ConfigError(f"--exclude {exclude[0]}: there are no videos to exclude; give --videos FOOTAGE")
            footage = Footage.gather(videos or [], exclude or [], hold_out, verify)
            footage.check_held_out(run.held_out_before())
            images = photographs(photos)
            run.held_out = tuple(video.name for video in footage.held_out)
            validation = _prepare(footage, images, validate, run.recipe, verify) if ranks.first else None
            pairs = Pairs(footage.videos, images, run.recipe, run.recipe.steps * run.recipe.batch)
            tensorboard_curves = curves(run) if tensorboard and ranks.first else nullcontext()
            with _progress_bar(run, ranks), tensorboard_curves:
                file = train(run, pairs, workers, save_every, validation, ranks)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        message = as_options(error, "device", "hold_out", "recipe")
        typer.echo(f"dcfnet-train: {_last_of(message)}", err=True)
        raise typer.Exit(1) from error
    if ranks.first:
        typer.echo(f"{file}: trained {run.step} steps")


def _last_of(text: str) -> str:
    """The message of an error. The text of an error in a worker process is a traceback that ends with the message."""
    return text.strip().splitlines()[-1] if "Original Traceback" in text else text


def _open(output: Path, recipe: Recipe | None, ranks: Ranks) -> Run:
    """A new run of the recipe; without a recipe, the run in `output`.

    Raises ConfigError if a new run would overwrite the run in `output`.
    """
    if recipe is None:
        return Run.resume(output, ranks.device)
    check_new_run(output, LAST)
    return Run.start(recipe, output, ranks.device)


def _prepare(footage: Footage, photos: list[Path], place: str | None, recipe: Recipe, every: bool) -> Validate | None:
    """Reports and inspects the footage; returns the validation, or None without sequences. For the first process."""
    _report(footage)
    options.tell_unused_photos(photos, recipe.synthetic)
    _inspect(footage, photos, recipe, every)
    sequences = footage.judges(place)
    return Validation(sequences, recipe.tracker_config(recipe.stride)) if sequences else None


def _report(footage: Footage) -> None:
    """Prints the excluded and the held-out videos. Warns if held-out videos cannot validate a tracker."""
    _print_some("excluded", [f"{name} {reason}" for name, reason in footage.left_out.items()])
    if footage.held_out:
        typer.echo(f"held out: {', '.join(video.name for video in footage.held_out)}", err=True)
        if any(video.centred for video in footage.held_out):
            typer.echo("held out: target-centred crops cannot validate a tracker; add --validate SEQUENCES", err=True)


def _inspect(footage: Footage, photos: list[Path], recipe: Recipe, every: bool) -> None:
    """Prints the skipped footage. Raises ConfigError with all faults that would end or spoil the run."""
    videos = [*footage.videos, *footage.held_out]
    with CommandProgress("dcfnet-train", TextColumn("images"), BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task("images", total=images_looked_at(videos, every))
        findings = inspect(videos, photos, recipe, every, lambda images: progress.advance(task, images))
    _print_some("skipped", findings.passed_over)
    if findings.faults:
        raise ConfigError("the footage cannot be used for training:\n" + "\n".join(findings.faults))


def _print_some(kind: str, lines: Sequence[str]) -> None:
    for line in lines[:MAX_LINES]:
        typer.echo(f"{kind}: {line}", err=True)
    if len(lines) > MAX_LINES:
        typer.echo(f"{kind}: {len(lines) - MAX_LINES} more", err=True)


@contextmanager
def _progress_bar(run: Run, ranks: Ranks) -> Iterator[None]:
    """Shows the steps, the loss and the validation AUC; only in the first process."""
    values = (TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[auc]}"))
    columns = (TextColumn("step"), BarColumn(), MofNCompleteColumn(), *values, TimeRemainingColumn())
    with CommandProgress("dcfnet-train", *columns, shown=ranks.first) as progress:
        task = progress.add_task("step", total=run.recipe.steps, completed=run.step, loss="", auc="")
        run.on_step.append(lambda step, loss: progress.update(task, completed=step, loss=f"loss {loss:.2f}"))
        run.on_validation.append(lambda step, auc: progress.update(task, auc=f"AUC {auc:.3f}"))
        yield
