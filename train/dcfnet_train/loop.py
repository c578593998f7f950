"""The training loop: pairs in, checkpoints out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from dcfnet_train.loss import PairLoss
from dcfnet_train.recipe import Recipe

LAST = "last.safetensors"
LOG = "log.jsonl"


@dataclass
class Run:
    """A run in its folder: network, optimiser and how far it is."""

    recipe: Recipe
    folder: Path
    network: Backbone
    optimiser: torch.optim.Optimizer
    step: int = 0
    on_step: list[Callable[[int, float], None]] = field(default_factory=list)  # called with step and loss

    @classmethod
    def start(cls, recipe: Recipe, folder: Path) -> Run:
        """A fresh run, seeded by the recipe."""
        torch.manual_seed(recipe.seed)
        network = Backbone(ARCHITECTURES[recipe.architecture], padding=False, stride=recipe.stride)
        return cls(recipe, folder, network, make_optimiser(recipe, network))

    @classmethod
    def resume(cls, folder: Path) -> Run:
        """The run in `folder`, as its last checkpoint left it. Raises ModelError where there is none."""
        checkpoint = load_checkpoint(folder / LAST)
        run = cls.start(checkpoint.recipe, folder)
        run.network.load_state_dict(checkpoint.weights)
        restore_optimiser(run.optimiser, checkpoint.optimiser)
        run.step = checkpoint.step
        return run

    def save(self, name: str = LAST) -> Path:
        """Writes the run's checkpoint into its folder; returns the file."""
        file = self.folder / name
        weights = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        save_checkpoint(Checkpoint(weights, self.recipe, self.step, optimiser_tensors(self.optimiser)), file)
        return file


def make_optimiser(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; its learning rate is set anew every step."""
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            network.parameters(), recipe.train_lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), recipe.train_lr, weight_decay=recipe.weight_decay)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of step 0 .. steps - 1.

    constant: train_lr. log: from train_lr to final_lr, evenly in the logarithm. onecycle: up over the first tenth,
    then down to final_lr along a half cosine.
    """
    progress = step / max(recipe.steps - 1, 1)
    if recipe.schedule == "constant":
        return recipe.train_lr
    if recipe.schedule == "log":
        return math.exp(math.log(recipe.train_lr) * (1 - progress) + math.log(recipe.final_lr) * progress)
    if progress < 0.1:
        return recipe.train_lr * (0.04 + 0.96 * progress / 0.1)
    fall = (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2
    return recipe.final_lr + (recipe.train_lr - recipe.final_lr) * fall


def train(run: Run, pairs: Dataset[tuple[Tensor, Tensor]], workers: int = 1, save_every: int = 100) -> Path:
    """Takes the run to its last step; returns the last checkpoint.

    There is a checkpoint from the start, so that a run can be gone on with however early it ends; every `save_every`
    steps it is renewed, and every step adds a line to the log. Raises OSError where nothing can be written, and
    FloatingPointError, the last checkpoint kept, when the loss is not finite.
    """
    recipe, pair_loss = run.recipe, PairLoss.of(run.recipe)
    run.folder.mkdir(parents=True, exist_ok=True)
    if not run.step:
        run.save()
    started = time.perf_counter()
    _trim_log(run)
    with (run.folder / LOG).open("a") as log:
        for batch in _batches(run, pairs, workers):
            loss, rate = _step(run, pair_loss, *batch), learning_rate(recipe, run.step)
            if not math.isfinite(loss):
                raise FloatingPointError(f"step {run.step}: loss is {loss}; lower train_lr ({recipe.train_lr:g})")
            run.step += 1
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": run.step, "loss": loss, "train_lr": rate, "seconds": seconds}) + "\n")
            log.flush()
            for callback in run.on_step:
                callback(run.step, loss)
            if run.step % save_every == 0:
                run.save()
    return run.save()


def _trim_log(run: Run) -> None:
    """Drops the lines of steps that the run has not taken: those between its last checkpoint and the kill."""
    file = run.folder / LOG
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    file.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= run.step))


def _batches(run: Run, pairs: Dataset[tuple[Tensor, Tensor]], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that are left, in the order of the pairs' numbers, so that a resumed run sees what it would have."""
    recipe = run.recipe
    left = range(run.step * recipe.batch, recipe.steps * recipe.batch)
    yield from DataLoader(Subset(pairs, left), batch_size=recipe.batch, num_workers=workers)


def _step(run: Run, pair_loss: PairLoss, pairs: Tensor, shifts: Tensor) -> float:
    """One optimiser step over pairs (B, 2, 3, S, S) and shifts (B, 2); returns the loss, averaged over the batch."""
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(run.recipe, run.step)
    run.optimiser.zero_grad()
    total = 0.0
    size = run.recipe.micro_batch
    for part, moved in zip(torch.split(pairs, size), torch.split(shifts, size), strict=True):
        loss = pair_loss(run.network, part, moved) / len(pairs)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    run.optimiser.step()
    return total
