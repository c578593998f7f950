"""Turned templates on a GPU: the filters and boxes of the CPU."""

from __future__ import annotations

import numpy as np
from dcfnet import Box, MultiTracker
from dcfnet.tracking.steps import init
from dcfnet_evaluation.rendered import Clip

CONFIG = {"patch_size": 48, "scales": 1, "update_interval": 1, "template_turn": 8.0}


def test_filters_and_boxes_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    found = []
    for device in ("cuda", "cpu"):
        tracker = MultiTracker("dcfnet", device=device, config=CONFIG, capacity=2)
        ids = [tracker.add(clip.frame(0), clip.box(0)), tracker.add(clip.frame(0), (5, 5, 30, 24))]
        assert tracker._state is not None
        filters = tracker._pipeline.backend.to_host(tracker._state.filters.arrays.filter_f)
        results = [tracker.update(clip.frame(index)) for index in range(1, 4)]
        found.append((filters, np.array([[tuple(each[id].box) for id in ids] for each in results])))
    (filters, boxes), (expected, expected_boxes) = found
    np.testing.assert_allclose(filters, expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    np.testing.assert_allclose(boxes, expected_boxes, rtol=0, atol=0.02)


def test_targets_that_start_together_learn_as_on_the_cpu(place: str, clip: Clip) -> None:
    found = []
    for device in ("cuda", "cpu"):
        pipeline = MultiTracker("dcfnet", device=device, config=CONFIG, capacity=2)._pipeline
        state = init(pipeline, {0: clip.frame(0)}, [clip.box(0), Box(5, 5, 30, 24)], [0, 0])
        found.append(pipeline.backend.to_host(state.filters.arrays.filter_f))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=2e-3 * np.abs(found[1]).max())
