"""dcfnet-eval: scores trackers on annotated sequences and compares two sets of scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from dcfnet.errors import DcfnetError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar

from dcfnet_evaluation import options, outputs
from dcfnet_evaluation.ablation import ablation_contenders, ablation_table
from dcfnet_evaluation.datasets import LAYOUTS
from dcfnet_evaluation.evaluate import EvaluationSettings, Subject, evaluate
from dcfnet_evaluation.faults import evaluate_with_faults, faults_table
from dcfnet_evaluation.faults.run import SUMMARY
from dcfnet_evaluation.passes.published import read_table
from dcfnet_evaluation.runs import Progress
from dcfnet_evaluation.scores import CONFIDENCE, compare, tables
from dcfnet_evaluation.scores.sheet import read_sheet
from dcfnet_evaluation.selection import (
    dcfnet_contenders,
    other_contenders,
    parse_numbers,
    result_folders,
    settings_of,
    subject_of,
)
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.trackers.contenders import Contender

WORSE = 2  # exit code of `compare` when B is worse
FAILED = 3  # exit code when a tracker gave no usable box in some frames; these frames count as misses

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Scores trackers on annotated sequences and compares two sets of scores."""


def evaluate_(
    context: typer.Context,
    root: options.Root,
    model: options.Models = None,
    preset: options.Preset = None,
    config: options.Config = None,
    set_: options.Set = None,
    add: options.Add = None,
    results: options.Results = None,
    peers: options.Peers = False,
    peer: options.Peer = None,
    peer_models: options.PeerModels = None,
    subset: options.Subset = None,
    sequences: options.Names = None,
    protocol: options.Protocol = "ope",
    limit: options.Limit = None,
    rates: options.Rates = "auto",
    memory: options.Memory = True,
    workers: options.Workers = 1,
    ray: options.Ray = None,
    published: options.Published = None,
    submission: options.Submission = None,
    output: options.Output = None,
    fresh: options.Fresh = False,
    report: options.Report = True,
    faults: options.Faults = None,
) -> None:
    """Runs the trackers and writes boxes, scores and a report. The command name is the layout of the dataset."""
    try:
        subject = subject_of(str(context.info_name), root, subset, sequences)
        contenders = dcfnet_contenders(model or [], config, set_, preset)
        contenders += other_contenders(add or [], peers, peer, peer_models)
        settings = settings_of(protocol, limit, rates, workers, ray, memory)
        folder = output or _default_folder(subject, f"{protocol}-faults" if faults else protocol)
        if faults:
            _check_unused(results, published, submission)
            return _evaluate_faults(subject, contenders, folder, settings, faults, fresh)
        table = read_table(published) if published else None
        outputs.check_outputs(subject, settings, submission, report, table)
        with CommandProgress("dcfnet-eval") as bar:
            folders, progress = result_folders(results), partial(_progress, bar)
            evaluation, sheet = evaluate(subject, contenders, folder, settings, folders, fresh, progress)
        tables.print_scores(sheet)
        outputs.write_outputs(subject, evaluation, folder, table, submission, report)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    if any(score.failures for scores in sheet.scores.values() for score in scores):
        raise typer.Exit(FAILED)


for _layout in LAYOUTS.values():
    _help = f"Tracks the sequences of a dataset and scores the boxes. Layout of {_layout.summary}."
    app.command(_layout.name, help=_help, short_help=_layout.summary)(evaluate_)


@app.command()
def ablation(
    root: options.Root,
    model: options.Models = None,
    scales: options.Scales = "1,3,5,7",
    layout: options.LayoutName = options.DEFAULT_LAYOUT,
    subset: options.Subset = None,
    sequences: options.Names = None,
    limit: options.Limit = None,
    workers: options.Workers = 1,
    ray: options.Ray = None,
    output: options.Output = None,
    fresh: options.Fresh = False,
) -> None:
    """Table 2 of the paper: scores every model with every number of scales, with one pass (OPE)."""
    try:
        subject = subject_of(layout, root, subset, sequences)
        contenders = ablation_contenders(model or [], parse_numbers(scales, "--scales"))
        folder = output or _default_folder(subject, "ablation")
        settings = EvaluationSettings("ope", limit, (), workers, ray)
        with CommandProgress("dcfnet-eval") as bar:
            _, sheet = evaluate(subject, contenders, folder, settings, {}, fresh, partial(_progress, bar))
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    Console().print(ablation_table(sheet))


@app.command("compare")
def compare_(first: options.A, second: options.B, tracker: options.Tracker = None) -> None:
    """Compares success AUC, B - A, paired by sequence. Exit code 2: B is worse, and the interval excludes 0."""
    try:
        sheets = read_sheet(first), read_sheet(second)
        if differing := [k for k in ("protocol", "limit") if sheets[0].run[k] != sheets[1].run[k]]:
            differences = "; ".join(f"{key} {sheets[0].run[key]} in A, {sheets[1].run[key]} in B" for key in differing)
            raise SequenceError(
                f"{first} and {second} have different settings: {differences}; "
                "run both with the same --protocol and --limit"
            )
        a, b = (sheet.tracker(tracker) for sheet in sheets)
        if lacking := {score.sequence for score in a} - {score.sequence for score in b}:
            raise SequenceError(
                f"{second}: has no scores for {', '.join(sorted(lacking))}, which {first} has; evaluate B on these too"
            )
        comparison = compare(a, b)
    except SequenceError as error:
        raise _failed(error) from error
    Console().print(tables.comparison_table(comparison))
    interval = f"{CONFIDENCE:.0%} interval {comparison.low:+.3f} to {comparison.high:+.3f}"
    typer.echo(
        f"AUC B - A: {comparison.difference:+.4f} ({interval}, {len(comparison.sequences)} sequences, bootstrap)"
    )
    if comparison.unpaired:
        typer.echo(f"left out, because only A or only B has them: {', '.join(comparison.unpaired)}", err=True)
    if comparison.worse:
        typer.echo("B is worse")
        raise typer.Exit(WORSE)


def _progress(bar: Bar, jobs: int) -> Progress:
    task = bar.add_task("evaluating", total=jobs, visible=jobs > 0)
    return lambda name: bar.update(task, advance=1, description=escape(name))


def _default_folder(subject: Subject, kind: str) -> Path:
    return Path("out", "eval", f"{subject.layout}-{subject.name}-{kind}")


def _check_unused(results: object, published: object, submission: object) -> None:
    """Raises SequenceError for options that a run with faults does not use."""
    given = {"--results": results, "--published": published, "--submission": submission}
    if unused := [name for name, value in given.items() if value]:
        raise SequenceError(
            f"--faults with {unused[0]}: published results are of frames without faults, and --faults writes a table "
            "alone; leave one out"
        )


def _evaluate_faults(
    subject: Subject,
    contenders: Sequence[Contender],
    folder: Path,
    settings: EvaluationSettings,
    faults: str,
    fresh: bool,
) -> None:
    with CommandProgress("dcfnet-eval") as bar:
        sheets = evaluate_with_faults(subject, contenders, folder, settings, faults, fresh, partial(_progress, bar))
    Console().print(faults_table(sheets))
    typer.echo(f"{folder / SUMMARY}")


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-eval: {as_options(error, 'config', 'preset')}", err=True)
    return typer.Exit(1)
