"""A training run in its folder: network, optimiser, step and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from dcfnet_train.objectives.denoising import Decoder
from dcfnet_train.ranks import CPU
from dcfnet_train.recipe import Recipe

LAST = "last.safetensors"
BEST = "best.safetensors"  # the checkpoint with the highest validation AUC
LOG = "log.jsonl"
HELD_OUT = "held_out"  # key in the log: names of the held-out videos


@dataclass
class Run:
    """A run in its folder.

    average: running mean of the weights, which is deployed, or None. decoder: trained with the network by denoising
    and not deployed, or None. step: optimiser steps done. score: best success AUC in validation so far. device: of the
    network. held_out: names of the videos that the run must not train on.
    """

    recipe: Recipe
    folder: Path
    network: Backbone
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None = None
    decoder: Decoder | None = None
    step: int = 0
    score: float = float("-inf")
    device: torch.device = CPU
    held_out: tuple[str, ...] = ()
    on_step: list[Callable[[int, float], None]] = field(default_factory=list)  # called with step and loss
    on_validation: list[Callable[[int, float], None]] = field(default_factory=list)  # called with step and AUC

    @classmethod
    def start(cls, recipe: Recipe, folder: Path, device: torch.device = CPU) -> Run:
        """A new run with the seed of the recipe. The initial weights are the same on every device."""
        torch.manual_seed(recipe.seed)
        network = Backbone(ARCHITECTURES[recipe.architecture], padding=False, stride=recipe.stride).to(device)
        average = None
        if recipe.ema:
            average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))  # type: ignore[no-untyped-call]
        decoder = Decoder(recipe).to(device) if recipe.objective == "denoising" else None
        optimiser = make_optimiser(recipe, learners(network, decoder))
        return cls(recipe, folder, network, optimiser, average, decoder, device=device)

    @classmethod
    def resume(cls, folder: Path, device: torch.device = CPU) -> Run:
        """The run in `folder`, at its last checkpoint. Raises ModelError if there is no checkpoint."""
        checkpoint = load_checkpoint(folder / LAST)
        run = cls.start(checkpoint.recipe, folder, device)
        run.network.load_state_dict(checkpoint.weights)
        restore_optimiser(run.optimiser, checkpoint.optimiser)
        run.step, run.score = checkpoint.step, checkpoint.score
        if run.decoder is not None:
            run.decoder.load_state_dict(checkpoint.decoder)
        if run.average is not None:
            run.average.module.load_state_dict(checkpoint.average)
            run.average.n_averaged.fill_(run.step)
        return run

    def adopt(self, weights: dict[str, Tensor]) -> None:
        """Replaces the random initial weights with these weights of the same architecture."""
        self.network.load_state_dict(weights)
        if self.average is not None:
            self.average.module.load_state_dict(weights)

    def checkpoint(self) -> Checkpoint:
        """The current state of the run."""
        average = {} if self.average is None else self.average.module.state_dict()
        decoder = {} if self.decoder is None else self.decoder.state_dict()
        weights, optimiser = self.network.state_dict(), optimiser_tensors(self.optimiser)
        return Checkpoint(weights, self.recipe, self.step, optimiser, average, decoder, self.score)

    def held_out_before(self) -> list[str]:
        """Names of the videos that were held out when the run started, from the log; [] without a log."""
        file = self.folder / LOG
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        entries = (json.loads(line) for line in lines if HELD_OUT in line and line.endswith("\n"))
        return [name for entry in entries for name in entry[HELD_OUT]]

    def save(self, name: str = LAST) -> Path:
        """Writes the checkpoint into the folder of the run; returns the file."""
        file = self.folder / name
        save_checkpoint(self.checkpoint(), file)
        return file


def learners(network: Backbone, decoder: Decoder | None) -> torch.nn.ModuleList:
    """The modules that an optimiser step changes, in the order of the optimiser's tensors."""
    return torch.nn.ModuleList([network] if decoder is None else [network, decoder])


def make_optimiser(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the recipe. The loop sets its learning rate at every step."""
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            network.parameters(), recipe.train_lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), recipe.train_lr, weight_decay=recipe.weight_decay)
