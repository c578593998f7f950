"""What dcfnet-eval writes beside boxes and scores: the report, and the archive for the server of GOT-10k."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer
from dcfnet.errors import MissingDependencyError

from dcfnet_evaluation.evaluate import EvaluationSettings, Subject
from dcfnet_evaluation.passes.published import PublishedScores
from dcfnet_evaluation.passes.records import Evaluation
from dcfnet_evaluation.scores.got10k import average_overlap, write_submission
from dcfnet_evaluation.scores.metrics import scored
from dcfnet_evaluation.scores.sheet import SHEET, has_truth
from dcfnet_evaluation.sequences import SequenceError


def check_outputs(
    subject: Subject,
    settings: EvaluationSettings,
    submission: Path | None,
    report: bool,
    published: PublishedScores | None = None,
) -> None:
    """Checks, before any tracker runs, that the outputs can be written. Only the report shows published scores.

    Raises MissingDependencyError if the report needs a library that is not installed, and SequenceError if the server
    of GOT-10k would refuse the archive.
    """
    if report:
        _report_writer()
    elif published is not None:
        raise SequenceError("--published with --no-report: the report shows these scores; leave one out")
    if submission is None:
        return
    if subject.layout != "got10k":
        raise SequenceError(f"--submission: the layout is {subject.layout}; it must be got10k; leave out --submission")
    if not subject.whole or settings.limit or settings.protocol != "ope":
        raise SequenceError(
            "--submission: needs one pass over all frames of all sequences of the subset; "
            "use --protocol ope without --limit and --sequences"
        )


def write_outputs(
    subject: Subject,
    evaluation: Evaluation,
    folder: Path,
    published: PublishedScores | None,
    submission: Path | None,
    report: bool,
) -> None:
    """Prints the scores of GOT-10k, and writes the archive for its server and the report. Prints the written files."""
    _print_got10k(subject, evaluation, submission)
    _write_report(subject, evaluation, folder, published, report)


def _print_got10k(subject: Subject, evaluation: Evaluation, submission: Path | None) -> None:
    """Prints AO and SR of every tracker if true boxes are public; writes the archive of the first tracker."""
    if subject.layout != "got10k":
        return
    passes = {
        t: {s: record.passes for s, record in by_sequence.items()} for t, by_sequence in evaluation.passes.items()
    }
    whole = evaluation.conditions.protocol == "ope" and evaluation.conditions.limit is None
    if whole and any(scored(sequence.boxes).sum() > 1 for sequence in subject.sequences):
        for name, by_sequence in passes.items():
            ao, sr50, sr75 = average_overlap(by_sequence, subject.sequences)
            typer.echo(f"{name}: AO {ao:.3f}, SR0.50 {sr50:.3f}, SR0.75 {sr75:.3f}")
    if submission:
        write_submission(next(iter(passes.values())), submission)
        typer.echo(f"{submission}")


def _write_report(
    subject: Subject, evaluation: Evaluation, folder: Path, published: PublishedScores | None, write: bool
) -> None:
    typer.echo(f"{folder / SHEET}")
    if not write or not any(has_truth(sequence) for sequence in subject.sequences):
        return
    typer.echo(f"{_report_writer()(evaluation, subject.sequences, folder, published)}")


def _report_writer() -> Callable[..., Path]:
    """Loads the function that writes reports only when it is needed: importing matplotlib takes a second."""
    try:
        from dcfnet_evaluation.report import write_report
    except ImportError as error:
        raise MissingDependencyError(str(error.name), "evaluation") from error
    return write_report
