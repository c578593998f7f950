"""The training loop: reads pairs, writes checkpoints."""

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
from dcfnet_train.objectives.denoising import DenoisingLoss, Noised
from dcfnet_train.objectives.loss import Loss, PairLoss
from dcfnet_train.ranks import Ranks
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import BEST, HELD_OUT, LOG, Run, learners

SINGLE_PROCESS = Ranks()
Validate = Callable[[Checkpoint], Score]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of step 0 .. steps - 1.

    constant: train_lr. log: from train_lr to final_lr, evenly in the logarithm. onecycle: rises to train_lr in the
    first tenth of the steps, then falls to final_lr along a half cosine.
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
    ranks: Ranks = SINGLE_PROCESS,
) -> Path:
    """Trains the run to its last step. Returns the checkpoint to deploy: the best one with validation, else the last.

    Saves a checkpoint before the first step, so that a run can always resume, and then every `save_every` steps. Every
    step adds a line to the log. validate: scores the run every `validate_every` steps of the recipe and at the end.
    Raises OSError if a file cannot be written. Raises FloatingPointError if the loss is not finite; the last
    checkpoint stays.
    """
    loss_of, pairs = _objective(run, pairs)
    with ExitStack() as stack:
        journal = stack.enter_context(_Journal(run, validate, save_every)) if ranks.first else None
        for batch in _batches(run, pairs, workers, ranks):
            rate = learning_rate(run.recipe, run.step)
            loss = _step(run, loss_of, *batch, rate, ranks)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"step {run.step}: the loss is {loss}, with train_lr={run.recipe.train_lr:g}; use a lower one"
                )
            run.step += 1
            if journal:
                journal.record_step(loss, rate)
        return journal.finish() if journal else run.folder


class _Journal:
    """Writes the log, the checkpoints and the scores of a run. For the first process."""

    def __init__(self, run: Run, validate: Validate | None, save_every: int) -> None:
        self.run, self.validate, self.save_every = run, validate, save_every
        self.started = time.perf_counter()
        run.folder.mkdir(parents=True, exist_ok=True)
        if not run.step:
            run.save()
        _trim_log(run)
        logged = run.held_out_before()
        self.log = (run.folder / LOG).open("a")
        if run.held_out and not logged:
            self._write({"step": run.step, HELD_OUT: run.held_out})

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def record_step(self, loss: float, rate: float) -> None:
        """Logs the step that the run has just done; validates and saves the run when they are due."""
        run = self.run
        self._log_values(loss=loss, train_lr=rate)
        for callback in run.on_step:
            callback(run.step, loss)
        if self.validate and (run.step % run.recipe.validate_every == 0 or run.step == run.recipe.steps):
            self._score(self.validate)
        if run.step % self.save_every == 0:
            run.save()

    def _score(self, validate: Validate) -> None:
        run, score = self.run, validate(self.run.checkpoint())
        self._log_values(auc=score.auc, precision=score.precision)
        if score.auc > run.score:
            run.score = score.auc
            run.save(BEST)
        for callback in run.on_validation:
            callback(run.step, score.auc)

    def _log_values(self, **values: float) -> None:
        seconds = time.perf_counter() - self.started
        self._write({"step": self.run.step, **values, "seconds": seconds})

    def _write(self, line: Mapping[str, object]) -> None:
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    def finish(self) -> Path:
        """Writes the last checkpoint; returns the checkpoint to deploy."""
        last, best = self.run.save(), self.run.folder / BEST
        return best if self.validate and best.exists() else last


def _trim_log(run: Run) -> None:
    """Removes the log lines of steps after the last checkpoint. The resumed run repeats these steps."""
    file = run.folder / LOG
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    file.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= run.step))


def _objective(run: Run, pairs: Dataset[tuple[Tensor, Tensor]]) -> tuple[Loss, Dataset[tuple[Tensor, Tensor]]]:
    """The loss of the recipe, and the pairs with the supervision that it needs."""
    if run.decoder is None:
        return PairLoss.of(run.recipe).to(run.device), pairs
    return DenoisingLoss(run.decoder, ARCHITECTURES[run.recipe.architecture].margin()), Noised(pairs, run.recipe)


def _batches(
    run: Run, pairs: Dataset[tuple[Tensor, Tensor]], workers: int, ranks: Ranks
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of the remaining batches, in the order of the pair numbers.

    A resumed run sees the same pairs as an uninterrupted run. Several processes see the same pairs as one process.
    """
    recipe, share = run.recipe, ranks.share(run.recipe.batch)
    remaining = [
        step * recipe.batch + index for step in range(run.step, recipe.steps) for index in range(recipe.batch)[share]
    ]
    local_batch, pin_memory = recipe.batch // ranks.count, run.device.type == "cuda"
    yield from DataLoader(Subset(pairs, remaining), batch_size=local_batch, num_workers=workers, pin_memory=pin_memory)


def _step(run: Run, loss_of: Loss, pairs: Tensor, supervision: Tensor, rate: float, ranks: Ranks) -> float:
    """One optimiser step. pairs: (B, 2, 3, S, S). supervision: see `Loss`. Returns the mean loss of a pair."""
    recipe = run.recipe
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad()
    total, size = 0.0, recipe.micro_batch
    autocast = torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    for part, goal in zip(torch.split(pairs, size), torch.split(supervision, size), strict=True):
        with autocast:
            loss = loss_of(run.network, part.to(run.device, non_blocking=True), goal.to(run.device)) / recipe.batch
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    total = ranks.sum(learners(run.network, run.decoder), total)
    run.optimiser.step()
    if run.average is not None:
        run.average.update_parameters(run.network)
    return total
