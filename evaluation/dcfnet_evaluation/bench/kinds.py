"""Frames by the work that is done in them: a preset learns in some frames only."""

from __future__ import annotations

import numpy as np
from dcfnet.config import TrackerConfig
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass

KINDS = ("lesson", "no lesson")
REJECTED = "rejected"  # a frame that showed nothing: no response was computed, and it counts for no turn


def kinds_of(config: TrackerConfig, done: Pass) -> NDArray[np.str_]:
    """The kind of every update of a pass, (N - 1,): one of KINDS, or REJECTED.

    Told from the outside, by the turns that the config takes: the last of every `learn_every` updates learns, unless
    the target is lost.
    """
    lost = np.array(done.statuses[1:]) == "lost"
    rejected = lost & (done.psr[1:] == 0)
    turn = np.cumsum(~rejected) - ~rejected
    lesson = (turn % config.learn_every == config.learn_every - 1) & ~lost
    return np.where(rejected, REJECTED, np.where(lesson, *KINDS))
