"""Adapting from end to end: labels, a short training, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.gate import Judge, Verdict
from dcfnet_train.adaptation.labels import Labels, make_labels
from dcfnet_train.adaptation.segments import Unlabelled
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.loop import train
from dcfnet_train.pairs import Pairs
from dcfnet_train.ranks import CPU
from dcfnet_train.recipe import Recipe
from dcfnet_train.run import Run
from dcfnet_train.validation import open_tracker


@dataclass(frozen=True)
class Adaptation:
    """What came of it. checkpoint: the adapted weights, whatever the verdict."""

    checkpoint: Checkpoint
    labels: Labels
    verdict: Verdict


@dataclass
class Watch:
    """Called as the work goes on: a segment has been labelled, a step has been taken, a model is about to be judged."""

    segment: Callable[[], None] = lambda: None
    step: Callable[[int, float], None] = lambda step, loss: None


def adapt(
    footage: Sequence[Unlabelled],
    start: Checkpoint,
    recipe: Recipe,
    judge: Judge,
    tolerance: float,
    folder: Path,
    photos: Sequence[Path] = (),
    workers: int = 1,
    watch: Watch | None = None,
) -> Adaptation:
    """Trains on from the weights of `start`, on what their tracker finds and finds again; `folder` is worked in.

    recipe: of the training; its architecture is that of `start`. judge: scores weights, sequence by sequence.
    tolerance: see `Verdict`.
    Raises SequenceError, before anything is trained, for footage that cannot be read or in which too little comes back,
    and for fewer than two sequences to judge by.
    """
    watch = watch or Watch()
    recipe = recipe.replace(architecture=start.recipe.architecture)
    begun = replace(start, weights=start.deployed(), recipe=recipe, average={}, optimiser={})
    tracker = open_tracker(begun, recipe.tracker_config(recipe.stride))
    before = judge(begun)
    if len(before) < 2:
        raise SequenceError(f"{len(before)} sequences to judge by; an interval needs at least two")
    labels = make_labels(footage, tracker, recipe.seed, folder / "crops", watch.segment)
    run = Run.start(recipe, folder / "run", CPU)
    run.adopt(begun.weights)
    run.on_step.append(watch.step)
    train(run, Pairs(labels.videos, photos, recipe, recipe.steps * recipe.batch), workers, save_every=recipe.steps)
    adapted = run.checkpoint()
    return Adaptation(adapted, labels, Verdict.of(before, judge(adapted), tolerance))
