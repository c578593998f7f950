"""dcfnet-bench: measures the speed of trackers, compares two runs, and plots accuracy against speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import typer
from dcfnet.cli.messages import as_options
from dcfnet.config import PRESETS
from dcfnet.errors import ConfigError, DcfnetError, MissingDependencyError, SinkError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar

from dcfnet_evaluation import options as shared
from dcfnet_evaluation.bench import options, tables
from dcfnet_evaluation.bench.comparison import compare, machines_differ
from dcfnet_evaluation.bench.gpu.command import gpu
from dcfnet_evaluation.bench.pareto import join_results, to_dots, write_page
from dcfnet_evaluation.bench.sheet import (
    BENCH,
    Bench,
    bench_machine,
    describe_contenders,
    read_bench,
    run_of,
    write_bench,
)
from dcfnet_evaluation.bench.times.footage import rendered_sequences, size_of
from dcfnet_evaluation.bench.times.measure import BenchSettings, measure, reference_of, steps
from dcfnet_evaluation.bench.times.targets import parse_target_counts
from dcfnet_evaluation.evaluate import Subject
from dcfnet_evaluation.scores import CONFIDENCE
from dcfnet_evaluation.scores.sheet import read_sheet
from dcfnet_evaluation.selection import dcfnet_contenders, other_contenders, parse_numbers, subject_of
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet

SLOWER = 2  # exit code of `compare` when B is slower
FAILED = 3  # exit code when a tracker gave no usable box in some frames
RENDERED = "rendered"
BUSY = 0.5  # load per core above which the machine is busy

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(gpu)


@app.command()
def run(
    context: typer.Context,
    root: options.Root = None,
    layout: shared.LayoutName = shared.DEFAULT_LAYOUT,
    subset: shared.Subset = None,
    sequences: shared.Names = None,
    model: shared.Models = None,
    preset: options.Preset = None,
    config: shared.Config = None,
    set_: shared.Set = None,
    engine: options.Engine = "auto",
    add: shared.Add = None,
    peers: shared.Peers = False,
    peer: shared.Peer = None,
    peer_models: shared.PeerModels = None,
    reference: options.Reference = None,
    size: options.Size = "640x360",
    limit: options.Limit = None,
    warm_up: options.WarmUp = 10,
    repeats: options.Repeats = 3,
    targets: options.Targets = "1,2,4,8",
    cold_starts: options.ColdStarts = 5,
    stages: options.Stages = True,
    memory: shared.Memory = True,
    output: options.Output = Path("out", "bench"),
) -> None:
    """Times the calls of update of all trackers, in turns, on frames that are already decoded. Writes bench.json."""
    try:
        counts = () if targets == "none" else parse_target_counts(parse_numbers(targets, "--targets"))
        settings = BenchSettings(size_of(size), limit, warm_up, repeats, counts, cold_starts, stages, memory, reference)
        subject = _subject(layout, root, subset, sequences)
        presets = preset or (None if config else ",".join(PRESETS))
        own = [_with_engine(contender, engine) for contender in dcfnet_contenders(model or [], config, set_, presets)]
        contenders = [*own, *other_contenders(add or [], peers, peer, peer_models)]
        _check_output(output)
        bench = _bench(subject, contenders, settings, _command(context))
        write_bench(bench, output / BENCH)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    _print_results(bench, output / BENCH)


@app.command("compare")
def compare_(first: options.A, second: options.B, gate: options.Gate = 0.05, tracker: options.Tracker = None) -> None:
    """Compares times, B / A, paired by sequence. Exit code 2: B is slower, and the interval is beyond the gate."""
    try:
        a, b = read_bench(first), read_bench(second)
        changes = compare(a, b, tracker)
    except DcfnetError as error:
        raise _failed(error) from error
    for difference in machines_differ(a, b):
        typer.echo(f"not the same machine: {difference}", err=True)
    if lacking := sorted(a.figures.keys() ^ b.figures.keys()):
        typer.echo(f"left out, because only A or only B has them: {', '.join(lacking)}", err=True)
    Console().print(tables.comparison_table(changes, gate))
    typer.echo(
        f"time ratios: above 1 is slower; FPS: below 1 is slower; {CONFIDENCE:.0%} intervals, "
        f"{len(a.run['frames'])} sequences"
    )
    slower = [change.tracker for change in changes if change.gated and change.slower(gate)]
    if slower:
        typer.echo(f"B is slower by more than {gate:.0%}: {', '.join(slower)}")
        raise typer.Exit(SLOWER)


@app.command()
def pareto(scores: options.Scores, bench: options.Bench, output: options.Page = Path("docs", "pareto.md")) -> None:
    """Plots accuracy against speed of the trackers in both files, and writes a table with the Pareto front."""
    try:
        if output.suffix != ".md":
            raise ConfigError(f"--output {output}: must end with .md; the plots are written to the same folder")
        sheet, speed = read_sheet(scores), read_bench(bench)
        points, lacking = join_results(sheet, speed)
        _plot_writer()(to_dots(points), output.with_suffix(""))
        write_page(points, sheet, speed, output)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    for line in lacking:
        typer.echo(line, err=True)
    typer.echo(f"{output}")


def _subject(layout: str, root: Path | None, subset: str | None, names: str | None) -> Subject:
    """The sequences of the dataset, or the rendered clips if `root` is None. Raises SequenceError."""
    if root is not None:
        return subject_of(layout, root, subset, names)
    if subset:
        raise SequenceError(f"--subset {subset}: rendered clips have no subsets; give the folder of a dataset")
    if layout != shared.DEFAULT_LAYOUT:
        raise SequenceError(f"--layout {layout}: rendered clips have no layout; give the folder of a dataset")
    clips = {clip.name: clip for clip in rendered_sequences()}
    chosen = [name.strip() for name in names.split(",")] if names else list(clips)
    if unknown := [name for name in chosen if name not in clips]:
        raise SequenceError(f"--sequences {', '.join(unknown)}: must be rendered clips: {', '.join(clips)}")
    return Subject(RENDERED, RENDERED, [clips[name] for name in chosen])


def _with_engine(contender: Contender, engine: str) -> Contender:
    return replace(contender, engine=engine) if isinstance(contender, Dcfnet) else contender


def _check_output(folder: Path) -> None:
    """Raises SinkError if bench.json cannot be written; called before any tracker runs."""
    probe = folder / f"{BENCH}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror}); give another --output") from error
    with suppress(OSError):
        probe.unlink()


def _bench(subject: Subject, contenders: Sequence[Contender], settings: BenchSettings, command: str) -> Bench:
    machine = bench_machine()
    if machine["load"] > BUSY * machine["cores"]:
        load_text = f"load {machine['load']} on {machine['cores']} cores"
        typer.echo(
            f"the machine is busy ({load_text}): times will be too long and ratios less certain; stop other programs",
            err=True,
        )
    # no auto_refresh: its thread would run while trackers are timed
    with Bar(console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("opening", total=steps(subject.sequences, settings))

        def progress(what: str) -> None:
            bar.update(task, advance=1, description=escape(what), refresh=True)

        figures = measure(subject.sequences, contenders, settings, progress)
    return Bench(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        machine=machine,
        run=run_of(subject.layout, subject.name, subject.sequences, settings),
        trackers=describe_contenders(contenders),
        reference=reference_of(list(figures), settings.reference),
        figures=figures,
    )


def _command(context: typer.Context) -> str:
    """The command line of the user, for bench.json. Paths are cut to their last part, to keep machine paths private."""
    parts = ["dcfnet-bench run"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        value, flag = context.params[name], parameter.opts[0] if parameter.param_type_name == "option" else ""
        if isinstance(value, bool):
            parts.append(flag if value else parameter.secondary_opts[0])
            continue
        for item in value if isinstance(value, (list, tuple)) else [value]:
            parts.append(" ".join(filter(None, [flag, _argument_text(item)])))
    return " ".join(parts)


def _argument_text(value: Any) -> str:
    return (Path(value).resolve().name if isinstance(value, Path) else str(value)).replace("\n", " ")


def _print_results(bench: Bench, file: Path) -> None:
    console = Console()
    console.print(tables.speed_table(bench))
    console.print(tables.costs_table(bench))
    for table in (tables.kinds_table(bench), tables.targets_table(bench)):
        if table.row_count:
            console.print(table)
    for line in tables.stages_text(bench):
        typer.echo(f"{line} ms")
    typer.echo(f"{file}")
    failed = False
    for name, figures in bench.figures.items():
        failures = [f"{s} ({sequence.failures})" for s, sequence in figures.sequences.items() if sequence.failures]
        if failures:
            typer.echo(f"{name}: frames without a usable box: {', '.join(failures)}", err=True)
        failed |= bool(failures)
    if failed:
        raise typer.Exit(FAILED)


def _plot_writer() -> Callable[..., None]:
    """Loads the function that draws only when it is needed: importing matplotlib takes a second.

    Raises MissingDependencyError.
    """
    try:
        from dcfnet_evaluation.bench.plot import write_plots
    except ImportError as error:
        raise MissingDependencyError(str(error.name), "evaluation") from error
    return write_plots


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-bench: {as_options(error, 'preset', 'engine')}", err=True)
    return typer.Exit(1)
