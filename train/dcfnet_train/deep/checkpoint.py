"""Saves and loads the weights of a deep backbone: one safetensors file, written completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcfnet.errors import ModelError
from dcfnet.io.files import write_atomically
from safetensors.torch import save
from torch import Tensor

from dcfnet_train.checkpoint import TensorFile, compare_shapes, read_tensors
from dcfnet_train.deep.backbone import DEEP, DeepBackbone

FORMAT = "dcfnet-deep-1"
WRITER = {FORMAT: "python -m dcfnet_train.deep"}  # the program that writes the format, for messages


@dataclass(frozen=True)
class DeepCheckpoint:
    """A trained deep backbone.

    weights: state of `DeepBackbone`. architecture: a name in DEEP. patch_size: side of the training patches, px.
    step: number of optimiser steps.
    """

    weights: Mapping[str, Tensor]
    architecture: str
    patch_size: int
    step: int

    def backbone(self) -> DeepBackbone:
        """The network with these weights, on the CPU."""
        network = DeepBackbone(DEEP[self.architecture])
        network.load_state_dict(dict(self.weights))
        return network.eval()


def save_deep(checkpoint: DeepCheckpoint, file: Path) -> None:
    """Writes the checkpoint. If writing fails or the process is killed, the old file stays unchanged."""
    settings = {"architecture": checkpoint.architecture, "patch_size": checkpoint.patch_size, "step": checkpoint.step}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    write_atomically(save(tensors, {"format": FORMAT, "settings": json.dumps(settings)}), file)


def load_deep(file: Path) -> DeepCheckpoint:
    """The checkpoint in a file. Raises ModelError that names the missing setting or the weights that differ."""
    return as_deep(file, read_tensors(file, WRITER))


def as_deep(file: Path, content: TensorFile) -> DeepCheckpoint:
    """The checkpoint in the content of a file of FORMAT. Raises ModelError as `load_deep`."""
    tensors, metadata = content
    try:
        settings = json.loads(metadata["settings"])
        name, patch_size, step = settings["architecture"], int(settings["patch_size"]), int(settings["step"])
        architecture = DEEP[name]
    except (KeyError, TypeError, ValueError) as error:
        known = ", ".join(DEEP)
        raise ModelError(
            f"{file}: its settings cannot be read ({error!r}); as architectures there are {known}"
        ) from error
    shapes = {tensor: tuple(values.shape) for tensor, values in tensors.items()}
    compare_shapes(file, shapes, DeepBackbone(architecture), name)
    return DeepCheckpoint(tensors, name, patch_size, step)
