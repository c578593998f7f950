"""`python -m dcfnet_export.deep` exports a checkpoint of `python -m dcfnet_train.deep` to an ONNX model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet.io.files import write_atomically
from dcfnet.model.file import Model
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_train.deep.checkpoint import load_deep
from dcfnet_train.footage.videos import open_sequences

from dcfnet_export import options
from dcfnet_export.deep_graph import ConfidenceFit, make_deep
from dcfnet_export.files import FP32, ExportedFile
from dcfnet_export.gate import passes_gate
from dcfnet_export.graph import ParityError
from dcfnet_export.precision import convert

REGULARISATION = 2.0  # lambda of eq. 2 for the features of these networks
MARGIN = 4  # px of the patch on each side: one map then gives all scales
# For occluded and lost targets (docs/tuning.md). The likeness of these networks shows whether a target is covered.
MIN_STRENGTH, REDETECTION_PATCHES = 0.12, 8

PRECISIONS = (FP32, "fp16")
REFUSED = 2  # exit code if the file tracks worse than --verify allows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="deep.safetensors of python -m dcfnet_train.deep.")],
    output: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("out/deep/deep.onnx"),
    precision: Annotated[str, typer.Option(help=f"{' or '.join(PRECISIONS)}.")] = FP32,
    set_: options.Set = None,
    confidence: Annotated[Path | None, typer.Option(help="File of dcfnet-calibrate confidence.")] = None,
    verify: options.Verify = None,
    margin: Annotated[float | None, typer.Option(min=0, help="Largest loss of AUC for --verify. [0.002]")] = None,
) -> None:
    """Exports a deep checkpoint to a self-describing ONNX file. Compares with torch before writing."""
    try:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"--precision {precision}: must be {' or '.join(PRECISIONS)}; int8 needs the model dcfnet"
            )
        if margin is not None and verify is None:
            raise ConfigError(f"--margin {margin:g}: no effect without --verify; add --verify")
        sequences, weights = open_sequences(verify) if verify else (), load_deep(checkpoint)
        fit = ConfidenceFit.read(confidence) if confidence else None
        float32 = make_deep(weights, _config(weights.patch_size).assign(set_ or []), str(output), fit)
        file = _write(float32, precision, output)
        passed = not sequences or passes_gate(weights.backbone(), float32, [file], sequences, verify, margin)
    except (DcfnetError, ParityError, SequenceError, OSError) as error:
        typer.echo(f"python -m dcfnet_export.deep: {error}", err=True)
        raise typer.Exit(1) from error
    if not passed:
        raise typer.Exit(REFUSED)


def _config(patch_size: int) -> TrackerConfig:
    """The constants of the tracker for a network that was trained on patches of this size."""
    return TrackerConfig(
        patch_size=patch_size + 2 * MARGIN,
        margin=MARGIN,
        regularisation=REGULARISATION,
        min_strength=MIN_STRENGTH,
        redetection_patches=REDETECTION_PATCHES,
    )


def _write(float32: Model, precision: str, file: Path) -> ExportedFile:
    """Writes the model in a precision, and prints its size. Raises SinkError."""
    # A float32 model is written as it is: the shipped file has no entry for its precision.
    model = float32 if precision == FP32 else replace(convert(float32, precision, "cpu"), name=str(file))
    write_atomically(model.onnx, file)
    text = f"{file}: {len(model.onnx) / 1e6:.2f} MB"
    typer.echo(text)
    return ExportedFile(file, model, False, text)


if __name__ == "__main__":
    app(prog_name="python -m dcfnet_export.deep")
