"""Checkpoint -> ONNX: a small graph with metadata, compared with torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from dcfnet.backbones.selection import open_backbone
from dcfnet.config import PRESETS, TrackerConfig
from dcfnet.io.files import write_atomically
from dcfnet.model.file import CONFIG_KEY, FORMAT, FORMAT_KEY, INPUT_KEY, PRESETS_KEY, WEIGHTS_KEY, Model, parse_model
from dcfnet.tracking.geometry import scale_pyramid
from dcfnet.tracking.patch_sizes import check_sizes
from dcfnet_train.backbone import MEAN_BGR, LocalResponseNorm
from dcfnet_train.checkpoint import Checkpoint
from torch import Tensor, nn

from dcfnet_export.errors import ParityError
from dcfnet_export.naming import rename

OPSET = 18
STRIDE = 2  # half the resolution tracks as well in half of the time (docs/speed.md)
TOLERANCE = 1e-4  # of the largest feature: differences from the order of float32 sums, with a margin


class _LrnOp(nn.Module):
    """The LRN node of ONNX, for engines that run it fast. For export only."""

    def __init__(self, norm: LocalResponseNorm) -> None:
        super().__init__()
        self.attributes: dict[str, Any] = {"size": norm.size, "alpha": norm.alpha, "beta": 0.75, "bias": norm.k}

    def forward(self, features: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic("LRN", (features,), self.attributes, dtype=features.dtype, shape=features.shape)


def export_onnx(
    checkpoint: Checkpoint, config: TrackerConfig, file: Path, lrn: str = "fast", stride: int = STRIDE
) -> Model:
    """Writes the model of `make_model` into a file. Raises its errors, and SinkError."""
    model = make_model(checkpoint, config, str(file), lrn, stride)
    write_atomically(model.onnx, file)
    return model


def make_model(
    checkpoint: Checkpoint, config: TrackerConfig, name: str, lrn: str = "fast", stride: int = STRIDE
) -> Model:
    """The backbone of a checkpoint as an ONNX model with metadata, compared with torch. name: for messages.

    Input "patches": float32 (batch, 3, S, S), S a multiple of the stride. Output "features": float32 (batch, C,
    S / stride, S / stride). The convolutions are padded; the last one includes the mean over stride x stride px.
    lrn: "fast" is two square roots and a 1 x 1 convolution, "op" is the LRN node; both compute the same function.
    Raises ParityError if ONNX Runtime and torch differ by more than TOLERANCE. Raises ConfigError if constants do not
    fit the network.
    """
    backbone = checkpoint.backbone(padding=True, stride=stride)
    norm = backbone.normalisation if lrn == "fast" else _LrnOp(backbone.normalisation)
    proto = trace(nn.Sequential(_fold_mean(backbone.convolutions, stride), norm).eval(), config.patch_size)
    _strip(proto)
    onnx.helper.set_model_props(proto, metadata(checkpoint.deployed(), config, PRESETS, stride))
    onnx.checker.check_model(proto, full_check=True)
    model = parse_model(proto.SerializeToString(), name)
    check_parity(model, backbone)
    return model


def _fold_mean(convolutions: nn.Sequential, stride: int) -> nn.Sequential:
    """The convolutions, with the mean over stride x stride px folded into the last one.

    The mean of a convolution is a strided convolution with a larger kernel. At stride 2 it has 16 products at a quarter
    of the positions, instead of 9 products at all positions.
    """
    *before, last = convolutions
    if stride == 1 or not isinstance(last, nn.Conv2d):
        return convolutions
    dilation = int(last.dilation[0])
    outputs, inputs, side, _ = last.weight.shape
    reach = (side - 1) * dilation + 1
    kernel = torch.zeros(outputs, inputs, reach + stride - 1, reach + stride - 1)
    for row, column in itertools.product(range(stride), repeat=2):
        kernel[:, :, row : row + reach : dilation, column : column + reach : dilation] += last.weight.detach()
    folded = nn.Conv2d(inputs, outputs, reach + stride - 1, stride, padding=int(last.padding[0]))
    folded.weight = nn.Parameter(kernel / stride**2)
    folded.bias = last.bias
    return nn.Sequential(*before, folded)


def check_parity(model: Model, backbone: nn.Module, batches: tuple[int, ...] = (1, 3)) -> float:
    """Largest difference between the model in ONNX Runtime and the network in torch, relative to the largest feature.

    Raises ParityError if it is above TOLERANCE. Raises MissingDependencyError if ONNX Runtime is not installed.
    """
    session = open_backbone(model, "onnxruntime")
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in batches:
        size = (batch, 3, model.config.patch_size, model.config.patch_size)
        patches = torch.rand(size, generator=generator) * 255 - torch.tensor(MEAN_BGR)[:, None, None]
        with torch.no_grad():
            expected = backbone(patches).numpy()
        features = session(patches.numpy())
        if features.shape != expected.shape or not np.isfinite(features).all():
            raise ParityError(f"{model.name}: features {features.shape}, expected finite {expected.shape}")
        worst = max(worst, float(np.abs(features - expected).max() / np.abs(expected).max()))
    if worst > TOLERANCE:
        raise ParityError(f"{model.name}: differs from torch by {worst:.1e} of the largest feature (limit {TOLERANCE})")
    return worst


def trace(network: nn.Module, patch_size: int, dynamic: tuple[int, ...] = (0, 2, 3)) -> onnx.ModelProto:
    """The exporter's graph of a network. dynamic: axes of the patches that may have any size."""
    patches = torch.zeros(2, 3, patch_size, patch_size)  # the exporter would treat a batch of 1 as a constant
    with _silent_exporter():
        program = torch.onnx.export(
            network,
            (patches,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["patches"],
            output_names=["features"],
            dynamic_shapes=(dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC),),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Hides messages of torch's exporter: its own deprecation warning, and optional packages that are missing."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def remove_notes(proto: onnx.ModelProto) -> None:
    """Removes the exporter's notes, such as file paths, so that the same weights produce the same file."""
    proto.doc_string = proto.graph.doc_string = ""
    proto.producer_name, proto.producer_version = "dcfnet", ""
    proto.graph.name = "backbone"
    del proto.graph.value_info[:]  # shapes of intermediate tensors, under the names of the exporter
    parts = [*proto.graph.node, *proto.graph.input, *proto.graph.output, proto.graph]
    for part in [*parts, *proto.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    del proto.metadata_props[:]


def _strip(proto: onnx.ModelProto) -> None:
    """Removes the exporter's notes, and gives axes and layers names that stay."""
    remove_notes(proto)
    for end, sides in (
        (proto.graph.input[0], ("height", "width")),
        (proto.graph.output[0], ("map_height", "map_width")),
    ):
        for dim, name in zip((0, 2, 3), ("batch", *sides), strict=True):
            end.type.tensor_type.shape.dim[dim].dim_param = name
    rename(proto.graph)


def metadata(
    weights: Mapping[str, Tensor], config: TrackerConfig, presets: Mapping[str, Mapping[str, Any]], stride: int
) -> dict[str, str]:
    """The metadata that every model file has. weights: for their hash.

    Raises ConfigError if the constants do not fit a model of this stride: no tracker would open it.
    """
    check_sizes(config, stride, (), float(scale_pyramid(config.scales, config.scale_step)[-1]))
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return {
        FORMAT_KEY: FORMAT,
        CONFIG_KEY: json.dumps(config.to_mapping()),
        PRESETS_KEY: json.dumps(presets),
        INPUT_KEY: json.dumps({"channels": "BGR", "mean": list(MEAN_BGR), "stride": stride}),
        WEIGHTS_KEY: digest.hexdigest(),
    }
