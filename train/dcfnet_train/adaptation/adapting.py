"""The whole adaptation: labels, a short training, and the gate."""

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
    """The result of an adaptation. checkpoint: the adapted weights, also if they do not pass the gate."""

    checkpoint: Checkpoint
    labels: Labels
    verdict: Verdict


@dataclass
class Watch:
    """Progress callbacks. segment: called after each labelled segment. step: called after each training step."""

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
    """Trains from the weights of `start`, on labels from their own tracker. Temporary files are in `folder`.

    recipe: of the training, with the architecture of `start`. judge: scores weights on each sequence.
    tolerance: see `Verdict`.
    Raises SequenceError before the training if footage cannot be read, if too few targets come back, or if the gate
    has fewer than two sequences.
    """
    watch = watch or Watch()
    recipe = recipe.replace(architecture=start.recipe.architecture)
    initial = replace(start, weights=start.deployed(), recipe=recipe, average={}, optimiser={})
    tracker = open_tracker(initial, recipe.tracker_config(recipe.stride))
    before = judge(initial)
    if len(before) < 2:
        raise SequenceError(f"sequences for the gate: {len(before)}, an interval needs at least 2; add sequences")
    labels = make_labels(footage, tracker, recipe.seed, folder / "crops", watch.segment)
    run = Run.start(recipe, folder / "run", CPU)
    run.adopt(initial.weights)
    run.on_step.append(watch.step)
    train(run, Pairs(labels.videos, photos, recipe, recipe.steps * recipe.batch), workers, save_every=recipe.steps)
    adapted = run.checkpoint()
    return Adaptation(adapted, labels, Verdict.of(before, judge(adapted), tolerance))
