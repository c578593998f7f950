"""Kinds of frames by their work: a preset updates the filter only in some frames."""

from __future__ import annotations

import numpy as np
from dcfnet.config import TrackerConfig
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.scores.metrics import centres

KINDS = ("lesson", "no lesson", "lesson, two looks", "no lesson, two looks")  # keys in bench.json
REJECTED = "rejected"  # rejected by frame validation: no response, and not counted for the update interval
LABELS = {
    "lesson": "filter update",
    "no lesson": "no filter update",
    "lesson, two looks": "filter update, 2 passes",
    "no lesson, two looks": "no filter update, 2 passes",
}  # KINDS in the words of docs/glossary.md; 2 passes: with a second search pass


def kinds_of(config: TrackerConfig, one_pass: Pass) -> NDArray[np.str_]:
    """The kind of every update of a pass, str (N - 1,): one of KINDS, or REJECTED.

    The kind is derived from the results of the tracker. The last of every `update_interval` updates changes the filter,
    unless the target is lost. A move of more than `second_pass_distance` means a second search pass. This is
    approximate, because the results contain only the move after the second pass.
    """
    lost = np.array(one_pass.statuses[1:]) == "lost"
    rejected = lost & (one_pass.psr[1:] == 0)
    interval_index = np.cumsum(~rejected) - ~rejected
    updates_filter = (interval_index % config.update_interval == config.update_interval - 1) & ~lost
    moved = np.abs(np.diff(centres(one_pass.boxes), axis=0)) / one_pass.boxes[:-1, 2:]
    second_pass = (moved > config.second_pass_distance).any(axis=1)
    return np.where(rejected, REJECTED, np.array(KINDS)[~updates_filter + 2 * second_pass])
