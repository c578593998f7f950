"""Trains a deep backbone through its filters. Input: pairs. Output: a `DeepCheckpoint`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from dcfnet.errors import ConfigError
from dcfnet.io.files import write_atomically
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import Dataset

from dcfnet_train.checkpoint import optimiser_tensors, restore_optimiser
from dcfnet_train.deep.backbone import DEEP, DeepBackbone
from dcfnet_train.deep.checkpoint import DeepCheckpoint, save_deep
from dcfnet_train.deep.levels import LEVEL_FILTERS, LevelsLoss
from dcfnet_train.deep.pretrained import load_pretrained, pretrained_file, read_pretrained
from dcfnet_train.deep.recipe import DeepRecipe

LAST, WEIGHTS, LOG = "last.safetensors", "deep.safetensors", "log.jsonl"
WARM_STEPS = 100  # steps in which the learning rates rise


@dataclass
class DeepRun:
    """A training run and its folder. average: running mean of the weights. step: number of optimiser steps."""

    recipe: DeepRecipe
    folder: Path
    network: DeepBackbone
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0

    @classmethod
    def start(cls, recipe: DeepRecipe, folder: Path, pretrained: dict[str, Tensor] | None = None) -> DeepRun:
        """A new run from ImageNet weights. pretrained: weights to use instead of those of the installed package."""
        torch.manual_seed(recipe.seed)
        network = DeepBackbone(DEEP[recipe.architecture])
        load_pretrained(network.stages, pretrained or read_pretrained(pretrained_file()))
        _freeze(network, recipe.frozen_blocks)
        average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return cls(recipe, folder, network, _optimiser(recipe, network), average)

    def resume(self) -> None:
        """Loads the saved state of the run in the folder. Raises ConfigError if there is no saved state."""
        try:
            tensors = load_file(self.folder / LAST)
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"{self.folder / LAST}: is missing or not the state of a run; give the --output of the run, or start "
                "without --resume"
            ) from error
        self.step = int(tensors.pop("step"))
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(":")
            parts[part][rest] = tensor
        self.network.load_state_dict(parts["weights"])
        self.average = parts["average"]
        restore_optimiser(self.optimiser, parts["optimiser"])

    def save(self) -> None:
        """Writes two files: the state of the run (for `resume`), and the checkpoint to deploy."""
        parts = {"weights": self.network.state_dict(), "average": self.average}
        parts["optimiser"] = optimiser_tensors(self.optimiser)
        tensors = {f"{part}:{name}": tensor.contiguous() for part, of in parts.items() for name, tensor in of.items()}
        write_atomically(save(tensors | {"step": torch.tensor(self.step)}), self.folder / LAST)
        recipe = self.recipe
        deployed = DeepCheckpoint(self.average, recipe.architecture, recipe.patch_size, self.step)
        save_deep(deployed, self.folder / WEIGHTS)

    def blend(self) -> None:
        """Updates the running mean of the weights. It forgets the first steps faster than later ones."""
        kept = min(self.recipe.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, 1 - kept)


def rate_share(recipe: DeepRecipe, step: int) -> float:
    """Share of the highest learning rates at a step: it rises for WARM_STEPS, then falls along half a cosine."""
    fall = (1 + math.cos(math.pi * step / recipe.steps)) / 2
    return min(1.0, (step + 1) / WARM_STEPS) * (recipe.final_share + (1 - recipe.final_share) * fall)


def train_deep(run: DeepRun, pairs: Dataset[tuple[Tensor, Tensor]], save_every: int = 100) -> Path:
    """Runs the remaining steps, and returns the path of the checkpoint to deploy.

    pairs: patches float32 (2, 3, S, S) and shift float32 (2,). save_every: steps between two checkpoints.
    Raises FloatingPointError if the loss is not finite; the last saved checkpoint stays.
    """
    recipe = run.recipe
    levels = LEVEL_FILTERS[recipe.architecture]
    stride = DEEP[recipe.architecture].stride
    sizes = (recipe.patch_size, stride, recipe.target_side())
    loss_of = LevelsLoss(levels, *sizes, recipe.regularisation, recipe.scale_weight)
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / LOG).open("a") as log:
        while run.step < recipe.steps:
            batch = [pairs[run.step * recipe.batch + index] for index in range(recipe.batch)]
            loss = _step(run, loss_of, torch.stack([p for p, _ in batch]), torch.stack([s for _, s in batch]))
            log.write(json.dumps({"step": run.step, "loss": loss}) + "\n")
            log.flush()
            if run.step % save_every == 0 or run.step == recipe.steps:
                run.save()
    return run.folder / WEIGHTS


def _step(run: DeepRun, loss_of: LevelsLoss, pairs: Tensor, shifts: Tensor) -> float:
    recipe, share = run.recipe, rate_share(run.recipe, run.step)
    for group, highest in zip(run.optimiser.param_groups, (recipe.train_lr, recipe.stage_lr), strict=True):
        group["lr"] = highest * share
    run.optimiser.zero_grad()
    loss: Tensor = loss_of(run.network, pairs, shifts)
    if not math.isfinite(loss.item()):
        raise FloatingPointError(
            f"step {run.step}: the loss is {loss.item()}, with train_lr={recipe.train_lr:g} and "
            f"stage_lr={recipe.stage_lr:g}; use lower ones"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), recipe.clip)
    run.optimiser.step()
    run.step += 1
    run.blend()
    return loss.item()


def _freeze(network: DeepBackbone, blocks: int) -> None:
    for part in (network.stages.stem, *network.stages.blocks[:blocks]):
        part.requires_grad_(False)


def _optimiser(recipe: DeepRecipe, network: DeepBackbone) -> torch.optim.Optimizer:
    """An optimiser with two parameter groups: the projections, and the pretrained blocks that are trained."""
    stages = [parameter for parameter in network.stages.parameters() if parameter.requires_grad]
    groups = [{"params": list(network.projections.parameters())}, {"params": stages}]
    return torch.optim.AdamW(groups, recipe.train_lr, weight_decay=recipe.weight_decay)
