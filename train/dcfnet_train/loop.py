"""The training loop: pairs in, checkpoints out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from dcfnet_evaluation.scores import Score
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dcfnet_train.backbone import ARCHITECTURES
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.denoising import DenoisingLoss, Noised
from dcfnet_train.loss import Loss, PairLoss
from dcfnet_train.ranks import Ranks
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import BEST, HELD_OUT, LOG, Run, learners

ALONE = Ranks()
Validate = Callable[[Checkpoint], Score]


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


def train(
    run: Run,
    pairs: Dataset[tuple[Tensor, Tensor]],
    workers: int = 1,
    save_every: int = 100,
    validate: Validate | None = None,
    ranks: Ranks = ALONE,
) -> Path:
    """Takes the run to its last step; returns the checkpoint to deploy: the best one, where there is validation.

    There is a checkpoint from the start, so that a run can be gone on with however early it ends; every `save_every`
    steps it is renewed, and every step adds a line to the log. validate: scores the run every `validate_every` steps of
    the recipe and at its end. Raises OSError where nothing can be written, and FloatingPointError, the last checkpoint
    kept, when the loss is not finite.
    """
    loss_of, pairs = _objective(run, pairs)
    with ExitStack() as stack:
        journal = stack.enter_context(_Journal(run, validate, save_every)) if ranks.first else None
        for batch in _batches(run, pairs, workers, ranks):
            rate = learning_rate(run.recipe, run.step)
            loss = _step(run, loss_of, *batch, rate, ranks)
            if not math.isfinite(loss):
                raise FloatingPointError(f"step {run.step}: loss is {loss}; lower train_lr ({run.recipe.train_lr:g})")
            run.step += 1
            if journal:
                journal.note(loss, rate)
        return journal.end() if journal else run.folder


class _Journal:
    """What the first process keeps of a run: a line a step, checkpoints, scores."""

    def __init__(self, run: Run, validate: Validate | None, save_every: int) -> None:
        self.run, self.validate, self.save_every = run, validate, save_every
        self.started = time.perf_counter()
        run.folder.mkdir(parents=True, exist_ok=True)
        if not run.step:
            run.save()
        _trim_log(run)
        told = run.held_out_before()
        self.log = (run.folder / LOG).open("a")
        if run.held_out and not told:
            self._write({"step": run.step, HELD_OUT: run.held_out})

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def note(self, loss: float, rate: float) -> None:
        """The step that has just been taken."""
        run = self.run
        self._note(loss=loss, train_lr=rate)
        for callback in run.on_step:
            callback(run.step, loss)
        if self.validate and (run.step % run.recipe.validate_every == 0 or run.step == run.recipe.steps):
            self._score(self.validate)
        if run.step % self.save_every == 0:
            run.save()

    def _score(self, validate: Validate) -> None:
        run, score = self.run, validate(self.run.checkpoint())
        self._note(auc=score.auc, precision=score.precision)
        if score.auc > run.score:
            run.score = score.auc
            run.save(BEST)
        for callback in run.on_validation:
            callback(run.step, score.auc)

    def _note(self, **values: float) -> None:
        seconds = time.perf_counter() - self.started
        self._write({"step": self.run.step, **values, "seconds": seconds})

    def _write(self, line: Mapping[str, object]) -> None:
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    def end(self) -> Path:
        """Writes the last checkpoint; returns the one to deploy."""
        last, best = self.run.save(), self.run.folder / BEST
        return best if self.validate and best.exists() else last


def _trim_log(run: Run) -> None:
    """Drops the lines of steps that the run has not taken: those between its last checkpoint and the kill."""
    file = run.folder / LOG
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    file.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= run.step))


def _objective(run: Run, pairs: Dataset[tuple[Tensor, Tensor]]) -> tuple[Loss, Dataset[tuple[Tensor, Tensor]]]:
    """The loss of the recipe, and the pairs with what it wants of each."""
    if run.decoder is None:
        return PairLoss.of(run.recipe).to(run.device), pairs
    return DenoisingLoss(run.decoder, ARCHITECTURES[run.recipe.architecture].margin()), Noised(pairs, run.recipe)


def _batches(
    run: Run, pairs: Dataset[tuple[Tensor, Tensor]], workers: int, ranks: Ranks
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of the batches that are left, in the order of the pairs' numbers.

    A resumed run sees the pairs it would have seen, and several processes those of one.
    """
    recipe, share = run.recipe, ranks.share(run.recipe.batch)
    left = [
        step * recipe.batch + index for step in range(run.step, recipe.steps) for index in range(recipe.batch)[share]
    ]
    at_once, pinned = recipe.batch // ranks.count, run.device.type == "cuda"
    yield from DataLoader(Subset(pairs, left), batch_size=at_once, num_workers=workers, pin_memory=pinned)


def _step(run: Run, loss_of: Loss, pairs: Tensor, wanted: Tensor, rate: float, ranks: Ranks) -> float:
    """One optimiser step over pairs (B, 2, 3, S, S) and what is wanted of each; returns the loss, a pair's mean."""
    recipe = run.recipe
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad()
    total, size = 0.0, recipe.micro_batch
    low = torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    for part, aim in zip(torch.split(pairs, size), torch.split(wanted, size), strict=True):
        with low:
            loss = loss_of(run.network, part.to(run.device, non_blocking=True), aim.to(run.device)) / recipe.batch
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    total = ranks.sum(learners(run.network, run.decoder), total)
    run.optimiser.step()
    if run.average is not None:
        run.average.update_parameters(run.network)
    return total
