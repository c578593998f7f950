"""dcfnet-adapt: adapts the network to your own footage, without annotation, if that makes it better."""

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
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from dcfnet.cli.target import parse_box
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet.io.output_checks import check_file
from dcfnet_evaluation.scores import CONFIDENCE
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from dcfnet_train import options
from dcfnet_train.adaptation.adapting import Adaptation, Watch, adapt
from dcfnet_train.adaptation.gate import TOLERANCE, UNSEEN, Consistency, Judge
from dcfnet_train.adaptation.segments import Unlabelled
from dcfnet_train.checkpoint import load_checkpoint, load_shipped, save_checkpoint
from dcfnet_train.footage.images import photographs
from dcfnet_train.footage.videos import open_sequences
from dcfnet_train.recipe import Recipe
from dcfnet_train.validation import Validation

REFUSED = 2  # exit code if the adapted weights do not pass the gate
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    video: Annotated[list[Path], typer.Option(help="A video, or a folder of images. Repeatable.")],
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="The target in the first frame, 0-based: one for each --video, or none."),
    ] = None,
    validate: Annotated[
        str | None,
        typer.Option(help="Annotated sequences for the gate, as in dcfnet-train; default: the end of the videos."),
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Initial checkpoint; default: that of the model dcfnet.")] = None,
    output: Annotated[Path, typer.Option(help="The adapted checkpoint.")] = Path("out/adapted.safetensors"),
    photos: options.Photos = None,
    recipe: options.RecipeName = "adapt",
    set_: options.Set = None,
    workers: options.Workers = 1,
    threads: options.Threads = 0,
) -> None:
    """Adapts the network to videos without annotation. Without an improvement it writes no file; the exit code is 2.

    Convert the result to a model file with dcfnet-export OUTPUT --onnx.
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        initial = load_shipped() if start is None else load_checkpoint(start)
        check_file(output)
        settings = _settings(recipe, set_ or [], initial.recipe.architecture)
        footage = _open(video, box or [])
        images = photographs(photos)
        options.tell_unused_photos(images, settings.synthetic)
        with TemporaryDirectory() as folder, _progress_bars(footage, settings, validate) as (judge, watch):
            tolerance = TOLERANCE if validate else UNSEEN
            adaptation = adapt(footage, initial, settings, judge, tolerance, Path(folder), images, workers, watch)
        _report(adaptation)
        if not adaptation.verdict.passed:
            typer.echo("refused: the adapted weights are not better, or may be worse; no file is written", err=True)
            raise typer.Exit(REFUSED)
        save_checkpoint(replace(adaptation.checkpoint, optimiser={}), output)
    except (DcfnetError, ValueError, FloatingPointError, OSError) as error:
        typer.echo(f"dcfnet-adapt: {as_options(error, 'recipe')}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{output}: adapted in {settings.steps} steps")


def _settings(recipe: str, changes: list[str], architecture: str) -> Recipe:
    """The recipe for weights of this architecture. Raises ConfigError if the changes name another one."""
    chosen = Recipe.load(recipe).replace(architecture=architecture).assign(changes)
    if chosen.architecture != architecture:
        raise ConfigError(
            f"--set architecture={chosen.architecture}: must be that of the initial weights, {architecture}; leave it "
            "out, or give other weights with --start"
        )
    return chosen


def _open(places: list[Path], boxes: list[str]) -> list[Unlabelled]:
    """The videos with their targets. Raises ConfigError for an invalid box or a wrong number of boxes."""
    if boxes and len(boxes) != len(places):
        raise ConfigError(
            f"{len(boxes)} --box for {len(places)} --video: give one for each video, in the same order, or none"
        )
    targets = [parse_box(text, "--box") for text in boxes]
    return [Unlabelled.open(place, target) for place, target in zip_longest(places, targets)]


@contextmanager
def _progress_bars(footage: list[Unlabelled], recipe: Recipe, validate: str | None) -> Iterator[tuple[Judge, Watch]]:
    """The scoring function of the gate, and the callbacks that advance one progress bar per stage."""
    consistency = Consistency(footage, recipe.seed)
    sequences = open_sequences(validate) if validate else []
    if not validate:
        consistency.check_length()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with CommandProgress("dcfnet-adapt", *columns) as progress:
        labelling = progress.add_task("labels", total=sum(len(video.learnt_from()) for video in footage))
        training = progress.add_task("steps", total=recipe.steps)
        watch = Watch(
            segment=lambda: progress.advance(labelling),
            step=lambda step, loss: progress.update(training, completed=step),
        )
        if validate:
            yield Validation(sequences, recipe.tracker_config(recipe.stride)).scores, watch
        else:
            judging = progress.add_task("gate", total=2 * len(list(consistency.segments())))
            yield replace(consistency, seen=lambda: progress.advance(judging)), watch


def _report(adaptation: Adaptation) -> None:
    labels, verdict, comparison = adaptation.labels, adaptation.verdict, adaptation.verdict.comparison
    typer.echo(f"trained on {len(labels.videos)} of {labels.tried} targets: those that came back to their start")
    typer.echo(
        f"AUC {verdict.before:.4f} before, {verdict.after:.4f} after: {comparison.difference:+.4f} "
        f"({CONFIDENCE:.0%} interval {comparison.low:+.4f} to {comparison.high:+.4f}, "
        f"{len(comparison.differences)} scores; the gate needs a difference above 0 and an interval "
        f"from {-verdict.tolerance + 0.0:g} up)"
    )
