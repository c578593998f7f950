"""dcfnet-calibrate: measures activation ranges for int8, and tunes the tracker's constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import typer
from dcfnet.backbones import open_backbone
from dcfnet.errors import DcfnetError
from dcfnet.model import load_model
from dcfnet.tracker import open_pipeline
from dcfnet_evaluation.scores import CONFIDENCE, mean_score
from dcfnet_evaluation.selection import subject_of
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.tables import comparison_table, empty_table
from dcfnet_export.naming import convolutions
from dcfnet_export.quantise import FORMS
from onnx import load_from_string
from rich.console import Console
from rich.progress import Progress

from dcfnet_calibration import options
from dcfnet_calibration.patches import collect
from dcfnet_calibration.ranges import check_method, measure_ranges
from dcfnet_calibration.scoring import Scorer
from dcfnet_calibration.sensitivity import Cost, costs_table, layer_costs, most_sensitive
from dcfnet_calibration.space import check_tunable, space_of
from dcfnet_calibration.tune import JOURNAL, RESULT, Tuning, tune, write_tuned

HELD_OUT_SHARE = 0.5  # held-out views, as a share of those that are measured on

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


@app.callback()
def about() -> None:
    """Measures activation ranges for int8, and tunes the tracker's constants; both on annotated sequences."""


@app.command()
def ranges(
    root: options.Root,
    layout: options.Layout = "otb",
    sequences: options.Names = None,
    model: options.ModelFile = None,
    preset: options.Preset = options.PRESET,
    method: options.Method = "percentile",
    patches: options.Count = 400,
    seed: options.Seed = 0,
    output: options.RangesFile = Path("out/calibration/ranges.json"),
) -> None:
    """Ranges of activations on real search patches, and what each layer costs in int8; dcfnet-export reads the file."""
    try:
        check_method(method)
        opened = subject_of(layout, root, None, sequences).sequences
        pipeline, loaded = open_pipeline(model, preset=preset), load_model(model)
        names = convolutions(load_from_string(loaded.onnx).graph)
        with Progress(console=console) as bar:
            task = bar.add_task("patches", total=3 + len(FORMS) * (len(names) + (len(names) > 1)))
            seen = collect(opened, pipeline, patches, seed)
            bar.update(task, advance=1)
            views = collect(opened, pipeline, max(int(HELD_OUT_SHARE * patches), 1), seed, held_out=True)
            bar.update(task, advance=1, description=f"ranges, {method}")
            found = measure_ranges(loaded, seen.search, method)
            bar.update(task, advance=1, description="layers")
            costs = {
                form: layer_costs(loaded, found, views, pipeline, form, lambda: bar.update(task, advance=1))
                for form in FORMS
            }
        found = replace(found, sensitive=most_sensitive([cost for made in costs.values() for cost in made]))
        found.write(output)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    _tell_ranges(costs, found.tensors, found.sensitive)
    typer.echo(f"{output}: {found.patches} patches of {len(opened)} sequences, {found.method}")


def _tell_ranges(
    costs: Mapping[str, list[Cost]], tensors: Mapping[str, tuple[float, float]], sensitive: tuple[str, ...]
) -> None:
    shown, table = Console(), empty_table("tensor", "low", "high")
    for name, ends in tensors.items():
        table.add_row(name, *(f"{end:.1f}" for end in ends))
    shown.print(table)
    for form, made in costs.items():
        shown.print(costs_table(made, form))
    typer.echo(f"mixed precision leaves out of int8: {', '.join(sensitive) or 'none'}")


@app.command("tune")
def tune_(
    root: options.Root,
    layout: options.Layout = "otb",
    sequences: options.Names = None,
    model: options.ModelFile = None,
    preset: options.Preset = options.PRESET,
    constants: options.Constants = options.EVERY,
    trials: options.Trials = 40,
    starts: options.Starts = 5,
    limit: options.Limit = None,
    folds: options.Folds = 5,
    seed: options.Seed = 0,
    output: options.Output = Path("out/calibration/tune"),
    fresh: options.Fresh = False,
    into: options.Into = None,
) -> None:
    """Searches the tracker's constants by tracking, and says what they gain on sequences that were left out."""
    try:
        opened, loaded = subject_of(layout, root, None, sequences).sequences, load_model(model)
        check_tunable(opened, folds)
        config = loaded.preset(preset)
        space = space_of([name.strip() for name in constants.split(",") if name.strip()], config)
        if fresh:
            (output / JOURNAL).unlink(missing_ok=True)
        scorer = Scorer(loaded, config, open_backbone(loaded, side=config.patch_size), starts, limit)
        with Progress(console=console) as bar:
            task = bar.add_task("search", total=trials * (folds + 1))

            def told(name: str, best: float) -> None:
                bar.update(task, advance=1, description=f"{name}, best AUC {best:.3f}")

            found = tune(scorer, opened, space, output, trials, folds, seed, told)
        if into:
            write_tuned(loaded, found.constants, preset, into)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _failed(error) from error
    _tell_tuning(found, config.to_mapping())
    typer.echo(f"{into}: holds these constants" if into else f"{output / RESULT}")


def _tell_tuning(found: Tuning, own: Mapping[str, float]) -> None:
    shown = Console()
    table = empty_table("constant", "own", "tuned", *(f"fold {n + 1}" for n in range(len(found.fold_constants))))
    for name, value in found.constants.items():
        columns = (own[name], value, *(constants[name] for constants in found.fold_constants))
        table.add_row(name, *(f"{column:.4g}" for column in columns))
    shown.print(table)
    shown.print(comparison_table(found.gain))
    gain = found.gain
    typer.echo(
        f"on sequences left out: AUC {mean_score(found.own).auc:.3f} -> {mean_score(found.tuned).auc:.3f}, "
        f"{gain.difference:+.4f} ({CONFIDENCE:.0%} interval {gain.low:+.4f} to {gain.high:+.4f}, bootstrap): "
        + ("a gain" if found.real else "no gain that is sure")
    )


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-calibrate: {error}", err=True)
    return typer.Exit(1)
