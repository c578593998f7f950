"""The search space of the constants, and the check of the sequences for the search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet_evaluation.scores.metrics import centres
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

try:
    from optuna.distributions import FloatDistribution
except ImportError as error:
    raise MissingDependencyError("optuna", "calibration") from error

# Lowest and highest value, and whether the search is logarithmic. The intervals contain the values of the paper, of the
# code of its authors and of this project. `space_of` extends them to the values of the model.
SPACE: dict[str, tuple[float, float, bool]] = {
    "learning_rate": (0.003, 0.04, True),
    "regularisation": (1e-6, 1e-2, True),
    "label_sigma": (0.05, 0.2, True),
    "scale_step": (1.01, 1.06, False),
    "scale_penalty": (0.96, 1.0, False),
    "padding": (1.25, 2.75, False),
}
STILL = 0.1  # range of the positions / target size, on each axis: below it, the target does not move
CENTRED = 0.05  # distance to the frame centre / target size, on each axis: below it, the target is centred


def space_of(names: Collection[str], config: TrackerConfig) -> dict[str, FloatDistribution]:
    """Distributions of the constants `names`, in the order of SPACE. They include the values of the config.

    Raises ConfigError if `names` is empty or contains an unknown name.
    """
    unknown = [name for name in names if name not in SPACE]
    if unknown or not names:
        raise ConfigError(f"cannot search {', '.join(unknown) or 'no constants'}; there are {', '.join(SPACE)}")
    values, space = config.to_mapping(), {}
    for name, (low, high, logarithmic) in SPACE.items():
        if name in names:
            space[name] = FloatDistribution(min(low, values[name]), max(high, values[name]), log=logarithmic)
    return space


def config_values(space: Mapping[str, Any], config: TrackerConfig) -> dict[str, float]:
    """The values of the searched constants in the config."""
    values = config.to_mapping()
    return {name: float(values[name]) for name in space}


def check_tunable(sequences: Sequence[AnnotatedSequence], folds: int) -> None:
    """Raises SequenceError if there are too few sequences, or if some are target-centred clips."""
    if len(sequences) < folds:
        raise SequenceError(
            f"{len(sequences)} sequences cannot be divided into {folds} folds: add sequences, or use --folds 2"
        )
    clips = [sequence.name for sequence in sequences if _is_clip(sequence)]
    if clips:
        raise SequenceError(
            f"the target does not move, or stays at the centre of the frame, in {', '.join(clips)}: these are "
            "target-centred clips, on which the best tracker never moves; leave them out with --sequences"
        )


def _is_clip(sequence: AnnotatedSequence) -> bool:
    """Whether the target does not move, or is at the centre of the frame in most frames."""
    valid = np.isfinite(sequence.boxes).all(axis=1)
    boxes = sequence.boxes[valid]
    height, width = sequence.read(int(np.flatnonzero(valid)[0])).shape[:2]
    frame_centre = (np.array([width, height]) - 1) / 2
    distances = (np.abs(centres(boxes) - frame_centre) / boxes[:, 2:]).max(axis=1)
    # The whole range: many annotations repeat a box in several frames, although the target moves.
    spread = np.ptp(centres(boxes), axis=0) / np.median(boxes[:, 2:], axis=0)
    return bool(np.median(distances) < CENTRED or spread.max() < STILL)
