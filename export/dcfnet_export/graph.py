"""Checkpoint -> ONNX: a small clean graph that describes itself and is proven against torch."""

from __future__ import annotations

import hashlib
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
from dcfnet.config import TrackerConfig
from dcfnet.model import CONFIG_KEY, FORMAT, FORMAT_KEY, INPUT_KEY, WEIGHTS_KEY, Model, parse_model
from dcfnet.sinks import write_whole
from dcfnet_train.backbone import MEAN_BGR, Backbone
from dcfnet_train.checkpoint import Checkpoint
from torch import Tensor, nn

OPSET = 18
TOLERANCE = 1e-4  # of the largest feature: what float32 sums in another order may differ by, with room


class ParityError(ValueError):
    """The exported graph does not compute what the network computes."""


class _WithLrnOp(nn.Module):
    """The network with ONNX's own LRN node at its end, for engines that have a fast one. For export alone."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, patches: Tensor) -> Tensor:
        features = self.backbone.convolutions(patches)
        norm = self.backbone.normalisation
        attributes: dict[str, Any] = {"size": norm.size, "alpha": norm.alpha, "beta": 0.75, "bias": norm.k}
        return torch.onnx.ops.symbolic("LRN", (features,), attributes, dtype=features.dtype, shape=features.shape)


def export_onnx(checkpoint: Checkpoint, config: TrackerConfig, file: Path, lrn: str = "fast") -> Model:
    """Writes the checkpoint's backbone as a self-describing ONNX file; returns it as read back.

    The graph: "patches" float32 (batch, 3, S, S) -> "features" float32 (batch, C, S, S), padded convolutions.
    lrn: "fast", two square roots and a 1 x 1 convolution, or "op", the LRN node; the same function.
    Raises ParityError, and writes nothing, when ONNX Runtime and torch differ by more than TOLERANCE.
    """
    backbone = checkpoint.backbone(padding=True)
    proto = _graph(backbone if lrn == "fast" else _WithLrnOp(backbone).eval(), config.patch_size)
    _strip(proto)
    onnx.helper.set_model_props(proto, _metadata(checkpoint, config))
    onnx.checker.check_model(proto, full_check=True)
    model = parse_model(proto.SerializeToString(), str(file))
    check_parity(model, backbone)
    write_whole(model.onnx, file)
    return model


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
            dynamic_shapes=({0: torch.export.Dim("batch")},),
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
    parts = [*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info, proto.graph]
    for part in [*parts, *proto.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    del proto.metadata_props[:]


def _metadata(checkpoint: Checkpoint, config: TrackerConfig) -> dict[str, str]:
    digest = hashlib.sha256()
    for name in sorted(checkpoint.weights):
        digest.update(name.encode() + checkpoint.weights[name].contiguous().numpy().tobytes())
    return {
        FORMAT_KEY: FORMAT,
        CONFIG_KEY: json.dumps(config.to_mapping()),
        INPUT_KEY: json.dumps({"channels": "BGR", "mean": list(MEAN_BGR)}),
        WEIGHTS_KEY: digest.hexdigest(),
    }
