"""A run's curves for TensorBoard, beside its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dcfnet.errors import MissingDependencyError

from dcfnet_train.loop import learning_rate
from dcfnet_train.run import Run

FOLDER = "tensorboard"  # in the run's folder: tensorboard --logdir OUTPUT


@contextmanager
def curves(run: Run) -> Iterator[None]:
    """Writes loss, learning rate and validation AUC of every step that is taken meanwhile; those after it are dropped.

    Raises MissingDependencyError where tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("tensorboard", "train") from error
    with SummaryWriter(str(run.folder / FOLDER), purge_step=run.step + 1) as writer:

        def note(step: int, loss: float) -> None:
            writer.add_scalar("train/loss", loss, step)
            rate = learning_rate(run.recipe, step - 1)
            writer.add_scalar("train/learning rate", rate, step)

        run.on_step.append(note)
        run.on_validation.append(lambda step, auc: writer.add_scalar("validation/AUC", auc, step))
        yield
