"""A training run on disk: weights, optimiser and recipe in one safetensors file, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from dcfnet.errors import ModelError
from dcfnet.io.files import write_atomically
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.recipe import Recipe

FORMAT = "dcfnet-checkpoint-1"
WRITER = {FORMAT: "dcfnet-train"}  # the program that writes the format, for messages
MAX_CHECKPOINT_SIZE = 2**30  # bytes; a checkpoint of this project has at most a few MB
OPTIMISER = "optimiser."  # prefix of the tensors that only a resumed run needs
AVERAGE = "average."  # prefix of the running mean of the weights
DECODER = "decoder."  # prefix of the tensors that only training needs


@dataclass(frozen=True)
class Checkpoint:
    """Weights of the network and the recipe that made them.

    weights: state of `Backbone` after the last optimiser step. step: optimiser steps done.
    optimiser: tensors named "INDEX.KEY"; empty in a file for deployment. average: running mean of the weights; empty
    if the recipe has no mean. decoder: state of `Decoder`; empty if the objective is tracking. score: best success AUC
    in validation so far; -inf before the first validation.
    """

    weights: dict[str, Tensor]
    recipe: Recipe
    step: int
    optimiser: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    decoder: dict[str, Tensor] = field(default_factory=dict)
    score: float = float("-inf")

    def deployed(self) -> dict[str, Tensor]:
        """The weights for export and tracking: the running mean if there is one, else the last weights."""
        return self.average or self.weights

    def backbone(self, padding: bool, stride: int = 1) -> Backbone:
        """The network with the deployed weights, on the CPU. padding, stride: see `Backbone`."""
        network = Backbone(ARCHITECTURES[self.recipe.architecture], padding, stride)
        network.load_state_dict(self.deployed())
        return network.eval()


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Writes the checkpoint atomically: after a kill or on a full disk, the previous file remains."""
    tensors = dict(checkpoint.weights)
    tensors |= {OPTIMISER + name: tensor for name, tensor in checkpoint.optimiser.items()}
    tensors |= {AVERAGE + name: tensor for name, tensor in checkpoint.average.items()}
    tensors |= {DECODER + name: tensor for name, tensor in checkpoint.decoder.items()}
    metadata = {
        "format": FORMAT,
        "recipe": json.dumps(checkpoint.recipe.to_mapping()),
        "step": str(checkpoint.step),
        "score": repr(checkpoint.score),
    }
    write_atomically(
        save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata), file
    )


def load_checkpoint(file: Path) -> Checkpoint:
    """The checkpoint in a file. Raises ModelError if the file, its recipe or its shapes are not usable."""
    return as_checkpoint(file, read_tensors(file, WRITER))


def as_checkpoint(file: Path, content: TensorFile) -> Checkpoint:
    """The checkpoint in the content of a file of FORMAT. Raises ModelError as `load_checkpoint`."""
    tensors, metadata = content
    try:
        recipe, step = Recipe.from_mapping(json.loads(metadata["recipe"])), int(metadata["step"])
        score = float(metadata.get("score", "-inf"))  # older files have no score
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: the recipe cannot be read ({error}); use a checkpoint of dcfnet-train") from error
    optimiser, average, decoder = (_split(tensors, prefix) for prefix in (OPTIMISER, AVERAGE, DECODER))
    check_shapes(file, tensors, recipe)
    if average:
        check_shapes(file, average, recipe)
    return Checkpoint(tensors, recipe, step, optimiser, average, decoder, score)


class TensorFile(NamedTuple):
    """What a safetensors file has. metadata: texts by name; "format" names the format."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_tensors(file: Path, writers: Mapping[str, str]) -> TensorFile:
    """The content of a safetensors file. Raises ModelError if it is not readable or has none of the formats.

    writers: the program that writes each possible format, for the message.
    """
    command = " or ".join(writers.values())
    if not file.exists():
        raise ModelError(f"{file}: no such file; give a checkpoint of {command}")
    try:
        if file.stat().st_size > MAX_CHECKPOINT_SIZE:
            raise ModelError(f"{file}: has more than {MAX_CHECKPOINT_SIZE} bytes; use a checkpoint of {command}")
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") not in writers:
                found = f"format {metadata.get('format')!r}, expected {' or '.join(map(repr, writers))}"
                raise ModelError(f"{file}: {found}; use a checkpoint of {command}")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            return TensorFile(tensors, metadata)
    except (OSError, SafetensorError) as error:
        reason = "it is a folder" if file.is_dir() else error
        raise ModelError(
            f"{file}: not a readable safetensors file ({reason}); use a checkpoint of {command}"
        ) from error


def load_shipped() -> Checkpoint:
    """The checkpoint of the weights that the package contains."""
    with as_file(files("dcfnet.model") / "shipped" / "dcfnet.safetensors") as shipped:
        return load_checkpoint(shipped)


def _split(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors with this prefix, under names without it. Removes them from `tensors`."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def check_shapes(file: Path, weights: Mapping[str, Tensor], recipe: Recipe) -> None:
    """Raises ModelError with every tensor whose shape differs from the recipe's architecture."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    compare_shapes(file, shapes, Backbone(ARCHITECTURES[recipe.architecture]), recipe.architecture)


def compare_shapes(file: Path, shapes: Mapping[str, tuple[int, ...]], network: nn.Module, architecture: str) -> None:
    """Raises ModelError with every tensor whose shape differs from the network's. architecture: its name."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    differing = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
    if differing:
        listed = "; ".join(f"{name} is {shapes.get(name)}, expected {expected.get(name)}" for name in differing)
        raise ModelError(f"{file}: the weights do not fit the architecture {architecture!r}: {listed}")


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of the optimiser as tensors named "INDEX.KEY"."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, entry in state.items() for key, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restores the state from `optimiser_tensors`, in place."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
