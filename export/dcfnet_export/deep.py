"""`python -m dcfnet_export.deep` exports a checkpoint of `python -m dcfnet_train.deep` to an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dcfnet.config import TrackerConfig
from dcfnet.errors import DcfnetError
from dcfnet_train.deep.checkpoint import load_deep

from dcfnet_export import options
from dcfnet_export.deep_graph import ConfidenceFit, export_deep
from dcfnet_export.graph import ParityError

REGULARISATION = 2.0  # lambda of eq. 2 for the features of these networks
MARGIN = 4  # px of the patch on each side: one map then gives all scales
# For occluded and lost targets (docs/tuning.md). The likeness of these networks shows whether a target is covered.
MIN_STRENGTH, REDETECTION_PATCHES = 0.12, 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="deep.safetensors of python -m dcfnet_train.deep.")],
    output: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("out/deep/deep.onnx"),
    set_: options.Set = None,
    confidence: Annotated[Path | None, typer.Option(help="File of dcfnet-calibrate confidence.")] = None,
) -> None:
    """Exports a deep checkpoint to a self-describing ONNX file. Compares with torch before writing."""
    try:
        weights = load_deep(checkpoint)
        config = TrackerConfig(
            patch_size=weights.patch_size + 2 * MARGIN,
            margin=MARGIN,
            regularisation=REGULARISATION,
            min_strength=MIN_STRENGTH,
            redetection_patches=REDETECTION_PATCHES,
        )
        config = config.assign(set_ or [])
        export_deep(weights, config, output, ConfidenceFit.read(confidence) if confidence else None)
    except (DcfnetError, ParityError, OSError) as error:
        typer.echo(f"python -m dcfnet_export.deep: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    app(prog_name="python -m dcfnet_export.deep")
