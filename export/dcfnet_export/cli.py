"""dcfnet-export: exports a network to the files for deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer
from dcfnet.cli.messages import as_options
from dcfnet.engines.flavour import open_flavour
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import DcfnetError
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_train.footage.videos import open_sequences

from dcfnet_export import options
from dcfnet_export.changes import Changes
from dcfnet_export.errors import ParityError
from dcfnet_export.files import ExportedFile, Exporter
from dcfnet_export.gate import passes_gate
from dcfnet_export.precision.ranges import Ranges
from dcfnet_export.sources import open_source
from dcfnet_export.verify import check_number

FLOATS = ("fp32", "fp16")
SETTINGS = {  # settings of BuildOptions in messages, as options of this command
    "compute_capabilities=": "--sm ",
    "version_compatible:": "--version-compatible:",
    "hardware_compatible:": "--hardware-compatible:",
}
REFUSED = 2  # exit code if an export tracks worse than --verify allows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    source: options.Source = None,
    onnx: options.Onnx = False,
    trt: options.Trt = False,
    output: options.Output = Path("out/export"),
    precision: options.Precision = "fp32",
    ranges: options.RangesFile = None,
    per_tensor: options.PerTensor = False,
    fold: options.Fold = "",
    targets: options.Targets = None,
    scales: options.Scales = None,
    flavour: options.Flavour = None,
    sm: options.Sm = "",
    optimisation_level: options.Level = None,
    tf32: options.Tf32 = False,
    version_compatible: options.VersionCompatible = False,
    hardware_compatible: options.HardwareCompatible = False,
    timing_cache: options.TimingCache = None,
    verify: options.Verify = None,
    margin: options.Margin = None,
    config: options.Config = None,
    set_: options.Set = None,
    stride: options.Stride = None,
    lrn: options.Lrn = None,
    confidence: options.Confidence = None,
) -> None:
    """Exports the backbone to a self-describing ONNX file and to an engine. Compares a checkpoint with torch."""
    flags = {"tf32": tf32, "version_compatible": version_compatible, "hardware_compatible": hardware_compatible}
    build = {"optimisation_level": optimisation_level, **flags}
    engine = {"sm": sm, "targets": targets, "scales": scales, "flavour": flavour, "timing_cache": timing_cache}
    _check_outputs(onnx, trt, **engine, **build)
    _check_used("--verify", verify, margin=margin)
    _check_used("--precision int8 or mixed", precision not in FLOATS, ranges=ranges, per_tensor=per_tensor)
    try:
        build_options = _build_options(sm, build)
        sequences = _open_sequences(verify) if verify else ()
        opened = open_flavour(flavour or "auto") if trt else None
        opened_source = open_source(source, Changes(config, set_ or (), stride, lrn, confidence))
        read, folded = Ranges.read(ranges) if ranges else None, fold.replace(",", " ").split()
        exporter = Exporter(opened_source, precision, read, folded, output, not per_tensor)
        files = [_report(exporter.write_onnx())] if onnx else []
        if opened:
            files.append(_report(exporter.write_engine(opened, targets or 1, scales, timing_cache, build_options)))
        passed = not sequences or passes_gate(opened_source, files, sequences, verify, margin)
    except (DcfnetError, ParityError, SequenceError, OSError) as error:
        raise _failed(error) from error
    if not passed:
        raise typer.Exit(REFUSED)


def _build_options(sm: str, others: Mapping[str, object]) -> dict[str, object]:
    """The options of an engine; raises ConfigError before any file is written."""
    given = {name: value for name, value in others.items() if value is not None}
    options = {"compute_capabilities": sm.replace(" ", ""), **given}
    BuildOptions.from_mapping(options)
    return options


def _report(exported: ExportedFile) -> ExportedFile:
    typer.echo(exported.text)
    return exported


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"dcfnet-export: {_with_options(error)}", err=True)
    return typer.Exit(1)


def _with_options(error: Exception) -> str:
    """The message of an error, with options of this command instead of names of Python."""
    text = as_options(error, "config")
    for name, option in SETTINGS.items():
        text = text.replace(name, option)
    return text


def _check_outputs(onnx: bool, trt: bool, **of_engine: object) -> None:
    """Raises BadParameter if there is nothing to export, or if options of an engine are given without one."""
    if not (onnx or trt):
        raise typer.BadParameter("nothing to export: add --onnx, --trt or both")
    _check_used("--trt", trt, **of_engine)


def _check_used(required: str, present: object, **given: object) -> None:
    """Raises BadParameter if an option is given that has no effect, because the required one is not present."""
    unused = [name for name, value in given.items() if not (value is None or value is False or value == "")]
    if unused and not present:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise typer.BadParameter(f"{names}: no effect without {required}; add {required}")


def _open_sequences(data: str) -> Sequence[AnnotatedSequence]:
    """Sequences for --verify. Their number is checked before an engine is built, because a build takes long."""
    sequences = open_sequences(data)
    check_number(sequences)
    return sequences
