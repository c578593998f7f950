"""Writes the curves of a run for TensorBoard, in addition to its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dcfnet.errors import MissingDependencyError

from dcfnet_train.loop import learning_rate
from dcfnet_train.run import Run

FOLDER = "tensorboard"  # in the folder of the run; view with tensorboard --logdir OUTPUT


@contextmanager
def curves(run: Run) -> Iterator[None]:
    """Writes loss, learning rate and validation AUC while the context is open.

    Removes earlier entries of steps after the current step.
    Raises MissingDependencyError if tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("tensorboard", "train") from error
    with SummaryWriter(str(run.folder / FOLDER), purge_step=run.step + 1) as writer:

        def write_step(step: int, loss: float) -> None:
            writer.add_scalar("train/loss", loss, step)
            rate = learning_rate(run.recipe, step - 1)
            writer.add_scalar("train/learning rate", rate, step)

        run.on_step.append(write_step)
        run.on_validation.append(lambda step, auc: writer.add_scalar("validation/AUC", auc, step))
        yield
