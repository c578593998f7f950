"""dcfnet-eval: scores a tracker on annotated sequences."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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

from dcfnet_evaluation.ope import Pass, run_ope
from dcfnet_evaluation.sequences import SequenceError, read_otb_dataset

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Scores a tracker on annotated sequences."""


@dataclass(frozen=True)
class Score:
    """Scores of one sequence; lost is the share of updates that answered LOST."""

    sequence: str
    frames: int
    auc: float
    precision: float
    lost: float
    fps: float

    @classmethod
    def of(cls, done: Pass) -> Score:
        """Scores of one pass."""
        lost = float(done.lost.mean()) if len(done.lost) else 0.0
        return cls(done.sequence.name, len(done.boxes), done.auc, done.precision, lost, done.fps)


@app.command()
def otb(
    root: Annotated[Path, typer.Argument(help="Folder of sequences in OTB's layout.")],
    model: Annotated[Path | None, typer.Option(help="Model file; without it the shipped one.")] = None,
    config: Annotated[str | None, typer.Option(help=f"Preset: {', '.join(PRESETS)}. Else the model's own.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a constant of the tracker.")
    ] = None,
    sequences: Annotated[str | None, typer.Option(help="Names, separated by commas; else all.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first frames of each.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the scores.")] = None,
) -> None:
    """One-pass evaluation: success AUC over 21 thresholds and precision at 20 px, frame 1 counted, as OTB does."""
    try:
        chosen = read_otb_dataset(root, sequences.split(",") if sequences else None)
        watched = track(chosen, "evaluating", console=Console(stderr=True))
        constants = Tracker(model, config=config).config.assign(set_ or [])
        scores = [Score.of(run_ope(Tracker(model, config=constants), sequence, limit)) for sequence in watched]
    except (DcfnetError, SequenceError) as error:
        typer.echo(f"dcfnet-eval: {error}", err=True)
        raise typer.Exit(1) from error
    Console().print(_table(scores))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n")


def _table(scores: list[Score]) -> Table:
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
