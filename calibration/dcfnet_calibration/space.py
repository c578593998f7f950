"""Where the tracker's constants are searched, and what cannot be tuned on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet_evaluation.metrics import centres
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

try:
    from optuna.distributions import FloatDistribution
except ImportError as error:
    raise MissingDependencyError("optuna", "calibration") from error

# Lowest and highest value, and whether it is the ratio of two values that counts. Around what the paper, its authors'
# code and this project use; a model's own constant is always within.
SPACE: dict[str, tuple[float, float, bool]] = {
    "learning_rate": (0.003, 0.04, True),
    "regularisation": (1e-6, 1e-2, True),
    "label_sigma": (0.05, 0.2, True),
    "scale_step": (1.01, 1.06, False),
    "scale_penalty": (0.96, 1.0, False),
    "padding": (1.25, 2.75, False),
}
STILL = 0.001  # of its size, on each axis: a target that moves less from one frame to the next stands still
MIDDLE = 0.05  # of its size, on each axis: a target that is nearer to the frame's middle is in it


def space_of(names: Collection[str], config: TrackerConfig) -> dict[str, FloatDistribution]:
    """Distributions of these constants, in the order of SPACE, the config's own values within.

    Raises ConfigError for no constant, or one that is not searched.
    """
    unknown = [name for name in names if name not in SPACE]
    if unknown or not names:
        raise ConfigError(f"nothing to search in {', '.join(unknown) or 'no constants'}; there are {', '.join(SPACE)}")
    own, space = config.to_mapping(), {}
    for name, (low, high, ratio) in SPACE.items():
        if name in names:
            space[name] = FloatDistribution(min(low, own[name]), max(high, own[name]), log=ratio)
    return space


def own_values(space: Mapping[str, Any], config: TrackerConfig) -> dict[str, float]:
    """The config's own values of the searched constants."""
    values = config.to_mapping()
    return {name: float(values[name]) for name in space}


def check_tunable(sequences: Sequence[AnnotatedSequence], folds: int) -> None:
    """Raises SequenceError where the sequences are too few, or where following teaches nothing: clips cut around it."""
    if len(sequences) < folds:
        raise SequenceError(f"{len(sequences)} sequences cannot be left out in {folds} parts: give more, or --folds 2")
    clips = [sequence.name for sequence in sequences if _is_clip(sequence)]
    if clips:
        raise SequenceError(
            f"the target never moves in the picture, or is always in its middle, in {', '.join(clips)}: these are "
            "clips cut around it, where a tracker that stands still is the best; tune on whole frames"
        )


def _is_clip(sequence: AnnotatedSequence) -> bool:
    """Whether the target stands still, or lies in the middle of the frame, in most frames."""
    here = np.isfinite(sequence.boxes).all(axis=1)
    boxes = sequence.boxes[here]
    height, width = sequence.read(int(np.flatnonzero(here)[0])).shape[:2]
    middle = (np.array([width, height]) - 1) / 2
    off = (np.abs(centres(boxes) - middle) / boxes[:, 2:]).max(axis=1)
    moves = (np.abs(np.diff(centres(boxes), axis=0)) / boxes[1:, 2:]).max(axis=1)
    return bool(np.median(off) < MIDDLE or (len(moves) and np.median(moves) < STILL))
