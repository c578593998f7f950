"""dcfnet-export: makes the files that are deployed from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dcfnet.config import CONSTANTS, TrackerConfig
from dcfnet.errors import DcfnetError
from dcfnet_train.checkpoint import Checkpoint, load_checkpoint, load_shipped

from dcfnet_export.graph import STRIDE, ParityError, export_onnx
from dcfnet_export.released import read_released

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="Checkpoint of dcfnet-train, or .npz of the released weights; without it the shipped one."),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write NAME.onnx.")] = False,
    output: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out/export"),
    config: Annotated[
        str | None,
        typer.Option(help=f"Tracker in the file: {', '.join(CONSTANTS)}. Else default, as the network was trained."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a constant of the tracker.")
    ] = None,
    stride: Annotated[
        int, typer.Option(help="Pixels of the patch per feature: 2 halves the time.", min=1, max=4)
    ] = STRIDE,
    lrn: Annotated[str, typer.Option(help="fast: square roots; op: ONNX's LRN node.")] = "fast",
) -> None:
    """Exports the backbone as a self-describing ONNX file, proven against torch before it is written."""
    if not onnx:
        raise typer.BadParameter("nothing to export: add --onnx")
    if lrn not in ("fast", "op"):
        raise typer.BadParameter(f"--lrn {lrn}: fast or op")
    try:
        loaded, name = _load(checkpoint)
        tracker = TrackerConfig.named(config) if config else loaded.recipe.tracker_config(stride)
        model = export_onnx(loaded, tracker.assign(set_ or []), output / f"{name}.onnx", lrn, stride)
    except (DcfnetError, ParityError, OSError) as error:
        typer.echo(f"dcfnet-export: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{model.name}: {len(model.onnx) / 1024:.0f} KB, equal to torch")


def _load(file: Path | None) -> tuple[Checkpoint, str]:
    """The checkpoint and the name of what is made of it."""
    if file is None:
        return load_shipped(), "dcfnet"
    return (read_released(file) if file.suffix == ".npz" else load_checkpoint(file)), file.stem
