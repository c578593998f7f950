"""dcfnet-export: makes the files that are deployed from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
from dcfnet.config import TrackerConfig
from dcfnet.engines.flavour import open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import DcfnetError
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_train.videos import open_sequences

from dcfnet_export import options
from dcfnet_export.files import Files, Made, load
from dcfnet_export.gate import judge
from dcfnet_export.graph import STRIDE, ParityError, make_model
from dcfnet_export.ranges import Ranges

REFUSED = 2  # exit code when an export tracks worse than --verify allows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: options.Checkpoint = None,
    onnx: options.Onnx = False,
    trt: options.Trt = False,
    output: options.Output = Path("out/export"),
    precision: options.Precision = "fp32",
    ranges: options.RangesFile = None,
    per_tensor: options.PerTensor = False,
    fold: options.Fold = "",
    targets: options.Targets = 1,
    scales: options.Scales = None,
    flavour: options.Flavour = "auto",
    sm: options.Sm = "",
    optimisation_level: options.Level = 3,
    tf32: options.Tf32 = False,
    version_compatible: options.VersionCompatible = False,
    hardware_compatible: options.HardwareCompatible = False,
    timing_cache: options.TimingCache = None,
    verify: options.Verify = None,
    margin: options.Margin = None,
    config: options.Config = None,
    set_: options.Set = None,
    stride: options.Stride = STRIDE,
    lrn: options.Lrn = "fast",
) -> None:
    """Exports the backbone: a self-describing ONNX file, proven against torch before it is written, and engines."""
    asked = {"compute_capabilities": sm.replace(" ", ""), "optimisation_level": optimisation_level, "tf32": tf32}
    asked |= {"version_compatible": version_compatible, "hardware_compatible": hardware_compatible}
    _check(onnx, trt, lrn, {"--sm": sm, "--timing-cache": timing_cache}, {"--margin": margin}, verify)
    try:
        sequences = open_sequences(verify) if verify else ()
        opened = open_flavour(flavour) if trt else None
        BuildOptions.from_mapping(asked)  # what is wrong is told before anything is written
        loaded, name = load(checkpoint)
        tracker = TrackerConfig.named(config) if config else loaded.recipe.tracker_config(stride)
        model = make_model(loaded, tracker.assign(set_ or []), name, lrn, stride)
        folded = fold.replace(",", " ").split()
        files = Files(model, precision, Ranges.read(ranges) if ranges else None, folded, output, not per_tensor)
        made = [_told(files.write_onnx())] if onnx else []
        made += [_told(files.write_engine(opened, targets, scales, timing_cache, asked))] if opened else []
        passed = not sequences or judge(loaded, model, made, sequences, verify, margin)
    except (DcfnetError, ParityError, SequenceError, OSError) as error:
        typer.echo(f"dcfnet-export: {error}", err=True)
        raise typer.Exit(1) from error
    if not passed:
        raise typer.Exit(REFUSED)


def _told(made: Made) -> Made:
    typer.echo(made.text)
    return made


def _check(
    onnx: bool,
    trt: bool,
    lrn: str,
    of_engines: Mapping[str, object],
    of_verifying: Mapping[str, object],
    verify: str | None,
) -> None:
    """Raises BadParameter for options that do not go together."""
    if not (onnx or trt):
        raise typer.BadParameter("nothing to export: add --onnx, --trt or both")
    if lrn not in ("fast", "op"):
        raise typer.BadParameter(f"--lrn {lrn}: fast or op")
    for options_, wanted, there in ((of_engines, "--trt", trt), (of_verifying, "--verify", verify)):
        idle = [name for name, value in options_.items() if value not in ("", None)]
        if idle and not there:
            raise typer.BadParameter(f"{', '.join(idle)}: does nothing without {wanted}")
