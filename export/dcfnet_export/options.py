"""The options of dcfnet-export with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dcfnet.backbones.loading import DEFAULT_MODEL
from dcfnet.config import CONSTANTS
from dcfnet.engines.flavour import FLAVOURS
from dcfnet.engines.options import BuildOptions
from dcfnet.model.file import FOLDABLE, PRECISIONS, SHIPPED

Source = Annotated[
    str | None,
    typer.Argument(
        help="Checkpoint of dcfnet-train or dcfnet_train.deep, float32 model (.onnx), .npz of the released weights, "
        f"or name of a shipped model: {', '.join(SHIPPED)}. Default: {DEFAULT_MODEL}."
    ),
]
Onnx = Annotated[bool, typer.Option("--onnx", help="Write NAME.onnx, for CPUs and other ONNX software.")]
Trt = Annotated[bool, typer.Option("--trt", help="Build NAME.engine, with its passport and its ONNX model.")]
Output = Annotated[Path, typer.Option(help="Output folder.")]
Precision = Annotated[
    str, typer.Option(help=f"{', '.join(PRECISIONS)}. The files are NAME-PRECISION, except for fp32.")
]
RangesFile = Annotated[Path | None, typer.Option(help="File of dcfnet-calibrate ranges, for int8 and mixed.")]
PerTensor = Annotated[bool, typer.Option("--per-tensor", help="Use one int8 scale for all weights of a convolution.")]
Fold = Annotated[str, typer.Option(help=f"Steps to fold into the graph, separated by commas: {', '.join(FOLDABLE)}.")]
Targets = Annotated[int | None, typer.Option(min=1, max=1024, help="Targets in one call of the engine. Default: 1.")]
Scales = Annotated[int | None, typer.Option(min=1, max=15, help="Patches per target; default: as in the presets.")]
Flavour = Annotated[
    str | None,
    typer.Option(help=f"TensorRT library: {', '.join(FLAVOURS)}, or auto for the first installed. Default: auto."),
]
Sm = Annotated[
    str,
    typer.Option("--sm", help="Compute capabilities for TensorRT-RTX, for example 8.6,8.9. Default: all from 8.0."),
]
Level = Annotated[
    int | None,
    typer.Option(
        "--optimisation-level",
        min=0,
        max=5,
        help=f"Level of the builder; 5 takes longest. Default: {BuildOptions.optimisation_level}.",
    ),
]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Allow TF32: float32 products with 10 bits.")]
VersionCompatible = Annotated[
    bool,
    typer.Option("--version-compatible", help="Make the engine run with later TensorRT of the same major version."),
]
HardwareCompatible = Annotated[
    bool, typer.Option("--hardware-compatible", help="Make the engine run on every GPU from Ampere on.")
]
TimingCache = Annotated[
    Path | None, typer.Option(help="File of TensorRT timings, read and updated, for faster builds.")
]
Verify = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Compare with torch (a model file: with OpenCV) on sequences, FOLDER or LAYOUT:FOLDER. Too large a loss: "
        "exit code 2.",
    ),
]
Margin = Annotated[
    float | None, typer.Option(min=0, help="Largest loss of AUC for --verify. Default: 0.002; int8 and mixed 0.01.")
]
Config = Annotated[
    str | None,
    typer.Option(help=f"Constants in the file: {', '.join(CONSTANTS)}; default: those of the training."),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a constant of the tracker.")]
Stride = Annotated[
    int | None,
    typer.Option(help="Pixels of the patch per feature, for checkpoints of dcfnet-train. Default: 2.", min=1, max=4),
]
Lrn = Annotated[
    str | None,
    typer.Option(
        help="Normalisation, of checkpoints of dcfnet-train: fast (square roots, the default) or op (LRN node of ONNX)."
    ),
]
Confidence = Annotated[
    Path | None,
    typer.Option(help="File of dcfnet-calibrate confidence, for checkpoints of dcfnet_train.deep."),
]
