"""Real sequences, where they lie beside the checkout: the validation set, read and never learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet import Box, MultiTracker, Tracker
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.metrics import success_auc


@pytest.mark.shared
@pytest.mark.parametrize(("name", "auc"), [("Couple", 0.45), ("Crossing", 0.7), ("Man", 0.8)])
def test_many_targets_are_tracked_as_each_alone_and_the_true_one_well(shared: Path, name: str, auc: float) -> None:
    sequence = read_otb(shared / "data/otb" / name)
    frames = [sequence.read(index) for index in range(len(sequence))]
    height, width = frames[0].shape[:2]
    starts = [Box(*sequence.boxes[0]), Box(width * 0.3, height * 0.4, width * 0.12, height * 0.2)]

    many, singles = MultiTracker(), [Tracker() for _ in starts]
    ids = [many.add(frames[0], box) for box in starts]
    for tracker, box in zip(singles, starts, strict=True):
        tracker.init(frames[0], box)
    followed = [tuple(starts[0])]
    for frame in frames[1:]:
        results = many.update(frame)
        for id_, tracker in zip(ids, singles, strict=True):
            assert tuple(results[id_].box) == pytest.approx(tuple(tracker.update(frame).box), abs=0.5)
        followed.append(tuple(results[ids[0]].box))
    assert success_auc(np.array(followed), sequence.boxes) > auc
