"""Real sequences, if they are next to the checkout. They are validation data and never used for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcfnet import Box, MultiTracker, Tracker
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.scores.metrics import success_auc


@pytest.mark.shared
@pytest.mark.parametrize(("name", "auc"), [("Couple", 0.45), ("Crossing", 0.7), ("Man", 0.8)])
def test_real_targets_in_a_batch_have_the_boxes_of_single_trackers_and_a_good_auc(
    shared: Path, name: str, auc: float
) -> None:
    sequence = read_otb(shared / "data/otb" / name)
    frames = [sequence.read(index) for index in range(len(sequence))]
    height, width = frames[0].shape[:2]
    starts = [Box(*sequence.boxes[0]), Box(width * 0.3, height * 0.4, width * 0.12, height * 0.2)]

    many, singles = MultiTracker(), [Tracker() for _ in starts]
    ids = [many.add(frames[0], box) for box in starts]
    for tracker, box in zip(singles, starts, strict=True):
        tracker.init(frames[0], box)
    boxes = [tuple(starts[0])]
    for frame in frames[1:]:
        results = many.update(frame)
        for id_, tracker in zip(ids, singles, strict=True):
            assert tuple(results[id_].box) == pytest.approx(tuple(tracker.update(frame).box), abs=0.5)
        boxes.append(tuple(results[ids[0]].box))
    assert success_auc(np.array(boxes), sequence.boxes) > auc
