"""The options of dcfnet-export, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dcfnet.config import CONSTANTS
from dcfnet.engines.flavour import FLAVOURS
from dcfnet.model import FOLDABLE, PRECISIONS

Checkpoint = Annotated[
    Path | None,
    typer.Argument(help="Checkpoint of dcfnet-train, or .npz of the released weights; without it the shipped one."),
]
Onnx = Annotated[bool, typer.Option("--onnx", help="Write NAME.onnx, for CPUs and whatever reads ONNX.")]
Trt = Annotated[bool, typer.Option("--trt", help="Build NAME.engine, with its passport and the model beside it.")]
Output = Annotated[Path, typer.Option(help="Folder to write into.")]
Precision = Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}; not fp32: NAME-PRECISION.onnx.")]
RangesFile = Annotated[Path | None, typer.Option(help="Of dcfnet-calibrate ranges, for int8 and mixed.")]
PerTensor = Annotated[bool, typer.Option("--per-tensor", help="One int8 scale for all weights of a convolution.")]
Fold = Annotated[str, typer.Option(help=f"Put into the graph: {', '.join(FOLDABLE)}, or both with a comma.")]
Targets = Annotated[int, typer.Option(min=1, max=1024, help="Targets in one call of an engine.")]
Scales = Annotated[int | None, typer.Option(min=1, max=15, help="Patches of each; without it those of the presets.")]
Flavour = Annotated[str, typer.Option(help=f"Of TensorRT: {', '.join(FLAVOURS)}, or auto, the first installed.")]
Sm = Annotated[
    str, typer.Option("--sm", help="Compute capabilities to build for, 8.6,8.9; TensorRT-RTX. [every one from 8.0]")
]
Level = Annotated[int, typer.Option("--optimisation-level", min=0, max=5, help="The builder's; 5 tries longest.")]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Let float32 products keep 10 bits.")]
VersionCompatible = Annotated[
    bool, typer.Option("--version-compatible", help="With later TensorRT of the same major version.")
]
HardwareCompatible = Annotated[bool, typer.Option("--hardware-compatible", help="With every GPU from Ampere on.")]
TimingCache = Annotated[Path | None, typer.Option(help="TensorRT's timings, read and renewed: later builds are fast.")]
Verify = Annotated[
    str | None,
    typer.Option(metavar="DATA", help="Sequences, FOLDER or LAYOUT:FOLDER: compare with torch on them; exit code 2."),
]
Margin = Annotated[
    float | None, typer.Option(min=0, help="AUC that --verify lets an export lose. [0.002; int8 and mixed 0.01]")
]
Config = Annotated[
    str | None,
    typer.Option(help=f"Tracker in the file: {', '.join(CONSTANTS)}. Else default, as the network was trained."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Changes a constant of the tracker.")
]
Stride = Annotated[int, typer.Option(help="Pixels of the patch per feature: 2 halves the time.", min=1, max=4)]
Lrn = Annotated[str, typer.Option(help="fast: square roots; op: ONNX's LRN node.")]
