"""Correction with the boxes of a detector on a GPU, whose filters are changed in place."""

from __future__ import annotations

from typing import Any

import dcfnet
import numpy as np
from dcfnet import Box
from dcfnet_evaluation.rendered import Clip

CONFIG = {"patch_size": 48, "scales": 1, "update_interval": 1}


def test_corrected_boxes_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    """One of two targets takes the second of two boxes. The other target does not change."""
    frames, start = [clip.frame(index) for index in range(3)], clip.box(0)
    others: list[list[Any]] = []
    for device in ("cuda", "cpu"):
        tracker = dcfnet.MultiTracker("dcfnet", device=device, config=CONFIG, capacity=2)
        for box in (Box(10, 150, 40, 40), start):
            tracker.add(frames[0], box)
        tracker.update(frames[1])
        state = tracker._state
        assert state is not None
        before = np.array(tracker._pipeline.backend.to_host(state.filters.take(np.array([0])).arrays.numerator))
        done = tracker.correct(frames[1], [Box(250, 20, 40, 40), Box(start.x + 3, start.y, start.w + 4, start.h)])
        assert (done.taken, done.left) == ({0: None, 1: 1}, {0: (0,)})
        assert tracker._state is not None
        after = tracker._state.filters.take(np.array([0])).arrays.numerator
        np.testing.assert_array_equal(tracker._pipeline.backend.to_host(after), before)
        results = tracker.update(frames[2])
        others.append([tuple(done.results[1].box), *(tuple(results[id_].box) for id_ in (0, 1))])
    np.testing.assert_allclose(others[0], others[1], rtol=0, atol=1e-3)
