"""dcfnet-eval: scores a tracker on annotated sequences, and compares two sets of scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from dcfnet.config import PRESETS
from dcfnet.errors import DcfnetError
from dcfnet.tracker import Tracker
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.protocols import PROTOCOLS
from dcfnet_evaluation.scores import CONFIDENCE, Score, compare, read_scores, write_scores
from dcfnet_evaluation.sequences import SequenceError, read_otb_dataset

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Scores a tracker on annotated sequences, and compares two sets of scores."""


@app.command()
def otb(
    root: Annotated[Path, typer.Argument(help="Folder of sequences in OTB's layout.")],
    model: Annotated[Path | None, typer.Option(help="Model file; without it the shipped one.")] = None,
    config: Annotated[str | None, typer.Option(help=f"Preset: {', '.join(PRESETS)}. Else the model's own.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a constant of the tracker.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="ope: one pass; tre: 20 starts in time; sre: 12 first boxes.")] = "ope",
    sequences: Annotated[str | None, typer.Option(help="Names, separated by commas; else all.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first frames of each pass.", min=2)] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the scores.")] = None,
) -> None:
    """Success AUC over 21 thresholds and precision at 20 px, the first frame of a pass counted, as OTB does."""
    if protocol not in PROTOCOLS:
        raise typer.BadParameter(f"--protocol {protocol}: one of {', '.join(PROTOCOLS)}")
    try:
        chosen = read_otb_dataset(root, sequences.split(",") if sequences else None)
        tracker = Tracker(model, config=config)
        if set_:
            tracker = Tracker(model, config=tracker.config.assign(set_))
        scores: list[Score] = []
        for sequence in track(chosen, "evaluating", console=Console(stderr=True)):
            scores.append(Score.of([run_pass(tracker, sequence, s, limit) for s in PROTOCOLS[protocol](sequence)]))
            if output:
                write_scores(scores, output)  # after every sequence: an interrupted run keeps what is done
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    Console().print(_table(scores))


@app.command("compare")
def compare_(
    first: Annotated[Path, typer.Argument(metavar="A", help="Scores of what is there, by otb --output.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Scores of what shall replace it.")],
) -> None:
    """B - A in success AUC, paired by sequence; exit code 2 when B is worse beyond the interval."""
    try:
        found = compare(read_scores(first), read_scores(second))
    except SequenceError as error:
        raise _failed(error) from error
    table = Table("sequence")
    table.add_column("B - A", justify="right")
    for name, difference in zip(found.sequences, found.differences, strict=True):
        table.add_row(name, f"{difference:+.3f}")
    Console().print(table)
    interval = f"{CONFIDENCE:.0%} interval {found.low:+.3f} to {found.high:+.3f}, {len(found.sequences)} sequences"
    typer.echo(f"AUC B - A: {found.difference:+.4f} ({interval}, bootstrap)")
    if found.unpaired:
        typer.echo(f"left out, because only one of the two has them: {', '.join(found.unpaired)}", err=True)
    if found.worse:
        typer.echo("B is worse")
        raise typer.Exit(2)


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-eval: {error}", err=True)
    return typer.Exit(1)


def _table(scores: Sequence[Score]) -> Table:
    table = Table("sequence")
    for name in ("frames", "AUC", "precision", "lost", "FPS"):
        table.add_column(name, justify="right")
    for score in scores:
        table.add_row(score.sequence, str(score.frames), *_figures(score))
    table.add_section()
    means = {key: float(np.mean([getattr(s, key) for s in scores])) for key in ("auc", "precision", "lost", "fps")}
    table.add_row("mean", str(sum(s.frames for s in scores)), *_figures(Score("mean", 0, **means)))
    return table


def _figures(score: Score) -> list[str]:
    return [f"{score.auc:.3f}", f"{score.precision:.3f}", f"{score.lost:.1%}", f"{score.fps:.1f}"]
