"""dcfnet-adapt: fits the network to footage of one's own, without annotation, where that makes it better."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from dcfnet.cli import parse_box
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet.frames import image_files
from dcfnet_evaluation.scores import CONFIDENCE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet_train import options
from dcfnet_train.adaptation.adapting import Adaptation, Watch, adapt
from dcfnet_train.adaptation.gate import TOLERANCE, UNSEEN, Consistency, Judge
from dcfnet_train.adaptation.segments import Unlabelled
from dcfnet_train.checkpoint import load_checkpoint, load_shipped, save_checkpoint
from dcfnet_train.recipe import Recipe
from dcfnet_train.validation import Validation
from dcfnet_train.videos import open_sequences

REFUSED = 2  # exit code: the adapted weights are no better
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    video: Annotated[list[Path], typer.Option(help="A video, or a folder of images; may be repeated.")],
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="The target in the first frame, 0-based; one for each video, or none."),
    ] = None,
    validate: Annotated[
        str | None, typer.Option(help="Annotated sequences to judge by, as in dcfnet-train; else the videos' own end.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint to begin from; else the shipped one.")] = None,
    output: Annotated[Path, typer.Option(help="The adapted checkpoint.")] = Path("out/adapted.safetensors"),
    photos: options.Photos = None,
    recipe: options.RecipeName = "adapt",
    set_: options.Set = None,
    workers: options.Workers = 1,
    threads: options.Threads = 0,
) -> None:
    """Adapts the network to videos that nobody has annotated. Exit code 2 where it is no better: nothing is written.

    dcfnet-export OUTPUT --onnx makes a model file of what is written.
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        begun = load_shipped() if start is None else load_checkpoint(start)
        chosen = Recipe.load(recipe).assign(set_ or []).replace(architecture=begun.recipe.architecture)
        footage = _open(video, box or [])
        images = image_files(photos) if photos else ()
        with TemporaryDirectory() as folder, _watched(footage, chosen, validate) as (judge, watch):
            tolerance = TOLERANCE if validate else UNSEEN
            made = adapt(footage, begun, chosen, judge, tolerance, Path(folder), images, workers, watch)
        _tell(made)
        if not made.verdict.passed:
            typer.echo("refused: the adapted weights are not better, or may be worse; nothing is written", err=True)
            raise typer.Exit(REFUSED)
        save_checkpoint(replace(made.checkpoint, optimiser={}), output)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        typer.echo(f"dcfnet-adapt: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{output}: adapted in {chosen.steps} steps")


def _open(places: list[Path], boxes: list[str]) -> list[Unlabelled]:
    """The videos with their targets. Raises ConfigError for boxes that are none, or not one for each video."""
    if boxes and len(boxes) != len(places):
        raise ConfigError(f"{len(boxes)} --box for {len(places)} --video: give one for each, in their order, or none")
    given = [parse_box(text, "--box") for text in boxes]
    return [Unlabelled.open(place, target) for place, target in zip_longest(places, given)]


@contextmanager
def _watched(footage: list[Unlabelled], recipe: Recipe, validate: str | None) -> Iterator[tuple[Judge, Watch]]:
    """What judges, and bars that say how far the three parts are."""
    held = Consistency(footage, recipe.seed)
    sequences = open_sequences(validate) if validate else []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        labelling = progress.add_task("labels", total=sum(len(video.learnt_from()) for video in footage))
        training = progress.add_task("steps", total=recipe.steps)
        watch = Watch(
            segment=lambda: progress.advance(labelling),
            step=lambda step, loss: progress.update(training, completed=step),
        )
        if validate:
            yield Validation(sequences, recipe.tracker_config(recipe.stride)).scores, watch
        else:
            judging = progress.add_task("gate", total=2 * len(list(held.segments())))
            yield replace(held, seen=lambda: progress.advance(judging)), watch


def _tell(made: Adaptation) -> None:
    found = made.verdict.comparison
    typer.echo(f"{len(made.labels.videos)} of {made.labels.tried} targets came back and were learnt from")
    typer.echo(
        f"AUC {made.verdict.before:.4f} before, {made.verdict.after:.4f} after: {found.difference:+.4f} "
        f"({CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}, {len(found.differences)} to judge by; "
        f"it has to be above 0, and its interval from {-made.verdict.tolerance + 0.0:g} up)"
    )
