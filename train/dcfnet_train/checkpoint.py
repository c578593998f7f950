"""A training run on disk: weights, optimiser and recipe in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from dcfnet.errors import ModelError
from dcfnet.sinks import write_whole
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.recipe import Recipe

FORMAT = "dcfnet-checkpoint-1"
OPTIMISER = "optimiser."  # prefix of the tensors that only resuming needs
AVERAGE = "average."  # prefix of the running mean of the weights
DECODER = "decoder."  # prefix of the tensors that only training needs


@dataclass(frozen=True)
class Checkpoint:
    """Weights of the network and what made them.

    weights: state of `Backbone` as the optimiser has it. step: optimiser steps taken.
    optimiser: tensors named "INDEX.KEY", empty in a file made for shipping. average: the running mean of the weights,
    empty where the recipe takes none. decoder: state of `Decoder`, empty where the objective is tracking. score: the
    best success AUC in validation so far, -inf before the first.
    """

    weights: dict[str, Tensor]
    recipe: Recipe
    step: int
    optimiser: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    decoder: dict[str, Tensor] = field(default_factory=dict)
    score: float = float("-inf")

    def deployed(self) -> dict[str, Tensor]:
        """The weights that are exported and tracked with: their running mean, where there is one."""
        return self.average or self.weights

    def backbone(self, padding: bool, stride: int = 1) -> Backbone:
        """The network with the weights that are deployed, on the CPU; `padding` and `stride` as in `Backbone`."""
        network = Backbone(ARCHITECTURES[self.recipe.architecture], padding, stride)
        network.load_state_dict(self.deployed())
        return network.eval()


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Writes the checkpoint; a kill or a full disk leaves the file that was there before."""
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
    write_whole(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata), file)


def load_checkpoint(file: Path) -> Checkpoint:
    """The checkpoint in a file. Raises ModelError naming what the file lacks or where its weights differ."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: not a readable safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{file}: format {metadata.get('format')!r}, expected {FORMAT!r}; dcfnet-train writes it")
    try:
        recipe, step = Recipe.from_mapping(json.loads(metadata["recipe"])), int(metadata["step"])
        score = float(metadata.get("score", "-inf"))  # older files have none
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: its recipe cannot be read ({error})") from error
    optimiser, average, decoder = (_split(tensors, prefix) for prefix in (OPTIMISER, AVERAGE, DECODER))
    check_shapes(file, tensors, recipe)
    if average:
        check_shapes(file, average, recipe)
    return Checkpoint(tensors, recipe, step, optimiser, average, decoder, score)


def load_shipped() -> Checkpoint:
    """The checkpoint of the weights that come with the package."""
    with as_file(files("dcfnet") / "models" / "dcfnet.safetensors") as shipped:
        return load_checkpoint(shipped)


def _split(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it; they leave `tensors`."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def check_shapes(file: Path, weights: dict[str, Tensor], recipe: Recipe) -> None:
    """Raises ModelError naming every tensor that the recipe's architecture lacks or shapes otherwise."""
    expected = Backbone(ARCHITECTURES[recipe.architecture]).state_dict()
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        shown = "; ".join(f"{name} is {found.get(name)}, expected {wanted.get(name)}" for name in differing)
        raise ModelError(f"{file}: not weights of the architecture {recipe.architecture!r}: {shown}")


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of the optimiser as flat tensors, "INDEX.KEY"."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, of in state.items() for key, value in of.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts the state that `optimiser_tensors` gave back, in place."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
