"""Frames by the work that is done in them: a preset learns in some frames only."""

from __future__ import annotations

import numpy as np
from dcfnet.config import TrackerConfig
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import centres
from dcfnet_evaluation.passes import Pass

KINDS = ("lesson", "no lesson", "lesson, two looks", "no lesson, two looks")
REJECTED = "rejected"  # a frame that showed nothing: no response was computed, and it counts for no turn


def kinds_of(config: TrackerConfig, done: Pass) -> NDArray[np.str_]:
    """The kind of every update of a pass, (N - 1,): one of KINDS, or REJECTED.

    Told from the outside. The last of every `learn_every` updates learns, unless the target is lost; and a target that
    has moved further than `look_again` was looked for twice: nearly so, since the distance is that after the second
    look.
    """
    lost = np.array(done.statuses[1:]) == "lost"
    rejected = lost & (done.psr[1:] == 0)
    turn = np.cumsum(~rejected) - ~rejected
    lesson = (turn % config.learn_every == config.learn_every - 1) & ~lost
    moved = np.abs(np.diff(centres(done.boxes), axis=0)) / done.boxes[:-1, 2:]
    twice = (moved > config.look_again).any(axis=1)
    return np.where(rejected, REJECTED, np.array(KINDS)[~lesson + 2 * twice])
