"""dcfnet-calibrate: ranges for int8, constants of the tracker, and the confidence of its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import typer
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from dcfnet.errors import DcfnetError
from dcfnet.io.output_checks import check_file, check_folder
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.model.file import Model
from dcfnet_evaluation.scores import CONFIDENCE, mean_score
from dcfnet_evaluation.scores.tables import comparison_table, empty_table
from dcfnet_evaluation.selection import subject_of
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_export.naming import convolutions
from dcfnet_export.precision.quantise import FORMS, check_levels
from onnx import load_from_string
from rich.console import Console

from dcfnet_calibration import options
from dcfnet_calibration.confidence import Quality, fit, held_out, observe, write_confidence, write_fit
from dcfnet_calibration.patches import collect
from dcfnet_calibration.ranges import check_method, measure_ranges
from dcfnet_calibration.scoring import Scorer
from dcfnet_calibration.sensitivity import Cost, costs_table, layer_costs, most_sensitive
from dcfnet_calibration.space import check_tunable, space_of
from dcfnet_calibration.tune import JOURNAL, RESULT, Tuning, tune, write_tuned

HELD_OUT_SHARE = 0.5  # number of held-out views / number of measured views

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


@app.callback()
def about() -> None:
    """Measures ranges for int8, tunes constants, and fits the confidence of results, on annotated sequences."""


@app.command()
def ranges(
    root: options.Root,
    layout: options.Layout = "otb",
    sequences: options.Names = None,
    model: options.ModelOfRanges = Path("dcfnet"),
    preset: options.Preset = options.PRESET,
    method: options.Method = "percentile",
    patches: options.Count = 400,
    seed: options.Seed = 0,
    output: options.RangesFile = Path("out/calibration/ranges.json"),
) -> None:
    """Measures activation ranges on real search patches, and the cost of each layer in int8, for dcfnet-export."""
    try:
        check_method(method)
        check_file(output)
        opened = subject_of(layout, root, None, sequences).sequences
        pipeline, loaded = open_pipeline(model, preset=preset), load_model(model)
        check_levels(loaded)
        names = convolutions(load_from_string(loaded.onnx).graph)
        with CommandProgress("dcfnet-calibrate") as bar:
            task = bar.add_task("patches", total=3 + len(FORMS) * (len(names) + (len(names) > 1)))
            measured = collect(opened, pipeline, patches, seed)
            bar.update(task, advance=1)
            views = collect(opened, pipeline, max(int(HELD_OUT_SHARE * patches), 1), seed, held_out=True)
            bar.update(task, advance=1, description=f"ranges, {method}")
            activations = measure_ranges(loaded, measured.search, method)
            bar.update(task, advance=1, description="layers")
            costs = {
                form: layer_costs(loaded, activations, views, pipeline, form, lambda: bar.update(task, advance=1))
                for form in FORMS
            }
        sensitive = most_sensitive([cost for of_form in costs.values() for cost in of_form])
        activations = replace(activations, sensitive=sensitive)
        activations.write(output)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _exit_with(error) from error
    _report_ranges(costs, activations.tensors, activations.sensitive)
    typer.echo(f"{output}: {activations.patches} patches of {len(opened)} sequences, {activations.method}")


def _report_ranges(
    costs: Mapping[str, list[Cost]], tensors: Mapping[str, tuple[float, float]], sensitive: tuple[str, ...]
) -> None:
    stdout, table = Console(), empty_table("tensor", "low", "high")
    for name, ends in tensors.items():
        table.add_row(name, *(f"{end:.1f}" for end in ends))
    stdout.print(table)
    for form, of_form in costs.items():
        stdout.print(costs_table(of_form, form))
    typer.echo(f"mixed precision keeps out of int8: {', '.join(sensitive) or 'none'}")


@app.command("tune")
def tune_(
    root: options.Root,
    layout: options.Layout = "otb",
    sequences: options.Names = None,
    model: options.ModelFile = None,
    preset: options.Preset = options.PRESET,
    constants: options.Constants = options.ALL_CONSTANTS,
    trials: options.Trials = 40,
    starts: options.Starts = 5,
    limit: options.Limit = None,
    folds: options.Folds = 5,
    seed: options.Seed = 0,
    output: options.Output = Path("out/calibration/tune"),
    fresh: options.Fresh = False,
    into: options.Into = None,
) -> None:
    """Searches constants of the tracker by tracking, and measures their gain on held-out sequences."""
    try:
        check_folder(output)
        _check_into(into)
        opened, loaded = subject_of(layout, root, None, sequences).sequences, load_model(model)
        check_tunable(opened, folds)
        config = loaded.preset(preset)
        space = space_of(_searched([name.strip() for name in constants.split(",") if name.strip()], loaded), config)
        if fresh:
            (output / JOURNAL).unlink(missing_ok=True)
        scorer = Scorer(loaded, config, open_backbone(loaded, side=config.patch_size), starts, limit)
        with CommandProgress("dcfnet-calibrate") as bar:
            task = bar.add_task("search", total=trials * (folds + 1))

            def on_trial(name: str, best: float) -> None:
                bar.update(task, advance=1, description=f"{name}, best AUC {best:.3f}")

            tuning = tune(scorer, opened, space, output, trials, folds, seed, on_trial)
        if into:
            write_tuned(loaded, tuning.constants, preset, into)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _exit_with(error) from error
    _report_tuning(tuning, config.to_mapping())
    typer.echo(f"{into}: contains these constants" if into else f"{output / RESULT}")


def _searched(names: list[str], model: Model) -> list[str]:
    """The names of the constants that have an effect on the model. Reports the others."""
    without_effect = [name for name in names if model.levels and name == "label_sigma"]
    if without_effect:
        typer.echo(f"label_sigma is not searched: the levels of {model.name} have their own", err=True)
    return [name for name in names if name not in without_effect]


def _report_tuning(tuning: Tuning, original: Mapping[str, float]) -> None:
    stdout = Console()
    table = empty_table("constant", "original", "tuned", *(f"fold {n + 1}" for n in range(len(tuning.fold_constants))))
    for name, value in tuning.constants.items():
        columns = (original[name], value, *(constants[name] for constants in tuning.fold_constants))
        table.add_row(name, *(f"{column:.4g}" for column in columns))
    stdout.print(table)
    stdout.print(comparison_table(tuning.gain))
    gain = tuning.gain
    typer.echo(
        f"on held-out sequences: AUC {mean_score(tuning.original).auc:.3f} -> {mean_score(tuning.tuned).auc:.3f}, "
        f"{gain.difference:+.4f} ({CONFIDENCE:.0%} interval {gain.low:+.4f} to {gain.high:+.4f}, bootstrap): "
        + ("a significant gain" if tuning.significant else "no significant gain")
    )


@app.command()
def confidence(
    roots: options.Roots,
    layout: options.Layout = "otb",
    model: options.ModelFile = None,
    preset: options.Preset = options.PRESET,
    starts: options.Starts = 2,
    folds: options.Folds = 8,
    output: options.FitFile = Path("out/calibration/confidence.json"),
    into: options.IntoConfidence = None,
) -> None:
    """Fits the confidence of results by tracking, and measures it on held-out sequences."""
    try:
        check_file(output)
        _check_into(into)
        opened = [sequence for root in roots for sequence in subject_of(layout, root, None, None).sequences]
        loaded, pipeline = load_model(model), open_pipeline(model, "cpu", preset=preset)
        with console.status(f"tracking {len(opened)} sequences"):
            observed = observe(pipeline, opened, starts)
        quality, fitted = Quality.of(held_out(observed, folds), observed), fit(observed)
        write_fit(fitted, quality, loaded, observed, output)
        if into:
            write_confidence(loaded, fitted, into)
    except (DcfnetError, SequenceError, OSError) as error:
        raise _exit_with(error) from error
    typer.echo(
        f"on held-out sequences: AUROC {quality.auroc:.3f}, calibration error {quality.error:.3f}; a confidence of 0.5 "
        f"or more in {quality.missed:.1%} of the failures (overlap under 0.1), of less in {quality.false_alarms:.1%} "
        "of the frames with an overlap above 0.5"
    )
    typer.echo(f"{into}: contains this fit" if into else f"{output}")


def _check_into(file: Path | None) -> None:
    if file:
        check_file(file, "--into")


def _exit_with(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-calibrate: {as_options(error, 'preset')}", err=True)
    return typer.Exit(1)
