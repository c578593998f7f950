"""Checkpoint -> ONNX: a small clean graph that describes itself and is proven against torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from dcfnet.backbones import open_backbone
from dcfnet.config import PRESETS, TrackerConfig
from dcfnet.model import CONFIG_KEY, FORMAT, FORMAT_KEY, INPUT_KEY, PRESETS_KEY, WEIGHTS_KEY, Model, parse_model
from dcfnet.sinks import write_whole
from dcfnet_train.backbone import MEAN_BGR, Backbone, LocalResponseNorm
from dcfnet_train.checkpoint import Checkpoint
from torch import Tensor, nn

from dcfnet_export.naming import rename

OPSET = 18
STRIDE = 2  # half the resolution costs no accuracy and half of the time (docs/speed.md)
TOLERANCE = 1e-4  # of the largest feature: what float32 sums in another order may differ by, with room


class ParityError(ValueError):
    """The exported graph does not compute what the network computes."""


class _LrnOp(nn.Module):
    """ONNX's own LRN node, for engines that have a fast one. For export alone."""

    def __init__(self, norm: LocalResponseNorm) -> None:
        super().__init__()
        self.attributes: dict[str, Any] = {"size": norm.size, "alpha": norm.alpha, "beta": 0.75, "bias": norm.k}

    def forward(self, features: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic("LRN", (features,), self.attributes, dtype=features.dtype, shape=features.shape)


def export_onnx(
    checkpoint: Checkpoint, config: TrackerConfig, file: Path, lrn: str = "fast", stride: int = STRIDE
) -> Model:
    """Writes the model of `make_model` into a file; raises as it does, and SinkError."""
    model = make_model(checkpoint, config, str(file), lrn, stride)
    write_whole(model.onnx, file)
    return model


def make_model(
    checkpoint: Checkpoint, config: TrackerConfig, name: str, lrn: str = "fast", stride: int = STRIDE
) -> Model:
    """The checkpoint's backbone as a self-describing ONNX model, proven against torch; `name` stands in messages.

    The graph: "patches" float32 (batch, 3, S, S), S any multiple of the stride, -> "features" float32 (batch, C,
    S / stride, S / stride), padded convolutions, the last one's outputs averaged over stride x stride px.
    lrn: "fast", two square roots and a 1 x 1 convolution, or "op", the LRN node; the same function.
    Raises ParityError when ONNX Runtime and torch differ by more than TOLERANCE.
    """
    backbone = checkpoint.backbone(padding=True, stride=stride)
    norm = backbone.normalisation if lrn == "fast" else _LrnOp(backbone.normalisation)
    proto = _graph(nn.Sequential(_folded(backbone.convolutions, stride), norm).eval(), config.patch_size)
    _strip(proto)
    onnx.helper.set_model_props(proto, _metadata(checkpoint, config, stride))
    onnx.checker.check_model(proto, full_check=True)
    model = parse_model(proto.SerializeToString(), name)
    check_parity(model, backbone)
    return model


def _folded(convolutions: nn.Sequential, stride: int) -> nn.Sequential:
    """The convolutions and the mean over stride x stride px after them, as convolutions alone.

    A mean of a convolution is a convolution with a larger kernel, at fewer places: at stride 2, 16 products at a
    quarter of the places, where there were 9 at all of them.
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


def check_parity(model: Model, backbone: Backbone, batches: tuple[int, ...] = (1, 3)) -> float:
    """Largest difference between the model in ONNX Runtime and the network in torch, relative to the largest feature.

    Raises ParityError when it is above TOLERANCE, MissingDependencyError where there is no ONNX Runtime.
    """
    session = open_backbone(model, "onnxruntime")
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in batches:
        size = (batch, 3, model.config.patch_size, model.config.patch_size)
        patches = torch.rand(size, generator=generator) * 255 - torch.tensor(MEAN_BGR)[:, None, None]
        with torch.no_grad():
            expected = backbone(patches).numpy()
        found = session(patches.numpy())
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ParityError(f"{model.name}: features {found.shape}, expected finite {expected.shape}")
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    if worst > TOLERANCE:
        raise ParityError(f"{model.name}: differs from torch by {worst:.1e} of the largest feature (limit {TOLERANCE})")
    return worst


def _graph(network: nn.Module, patch_size: int) -> onnx.ModelProto:
    patches = torch.zeros(2, 3, patch_size, patch_size)  # a batch of 1 would be taken for a constant
    with _quiet():
        program = torch.onnx.export(
            network,
            (patches,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["patches"],
            output_names=["features"],
            dynamic_shapes=(dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what torch's exporter says about itself: a deprecation of its own, and packages it does without."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(proto: onnx.ModelProto) -> None:
    """Takes out what the exporter notes of its own run, file paths among it: the same weights give the same file."""
    proto.doc_string = proto.graph.doc_string = ""
    proto.producer_name, proto.producer_version = "dcfnet", ""
    proto.graph.name = "backbone"
    del proto.graph.value_info[:]  # sizes of what lies between, in the exporter's names
    for end, sides in (
        (proto.graph.input[0], ("height", "width")),
        (proto.graph.output[0], ("map_height", "map_width")),
    ):
        for dim, name in zip((0, 2, 3), ("batch", *sides), strict=True):
            end.type.tensor_type.shape.dim[dim].dim_param = name
    parts = [*proto.graph.node, *proto.graph.input, *proto.graph.output, proto.graph]
    for part in [*parts, *proto.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    del proto.metadata_props[:]
    rename(proto.graph)


def _metadata(checkpoint: Checkpoint, config: TrackerConfig, stride: int) -> dict[str, str]:
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.deployed().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return {
        FORMAT_KEY: FORMAT,
        CONFIG_KEY: json.dumps(config.to_mapping()),
        PRESETS_KEY: json.dumps(PRESETS),
        INPUT_KEY: json.dumps({"channels": "BGR", "mean": list(MEAN_BGR), "stride": stride}),
        WEIGHTS_KEY: digest.hexdigest(),
    }
