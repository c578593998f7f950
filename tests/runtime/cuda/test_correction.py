"""Correction with the boxes of a detector on a GPU, whose filters are changed in place."""

from __future__ import annotations

import dataclasses
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet import Box
from dcfnet.backbones.loading import load_model
from dcfnet.lifecycle import opening
from dcfnet.model.confidence import Confidence
from dcfnet.tracking.correction import moving
from dcfnet_evaluation.rendered import Clip

CONFIG: dict[str, Any] = {"patch_size": 48, "scales": 1, "update_interval": 1}
WHOLE_FRAME = {"min_strength": 0.3, "redetection_patches": 3, "lost_confidence": 0.6}  # it uses the first filter


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


def test_a_doubtful_target_is_found_by_its_first_filter_as_on_the_cpu(
    place: str, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its present box is elsewhere. Its filter is learnt anew at the box of the detector, in its slot."""
    learnt, real, boxes = [], moving.learnt_anew, list[list[Any]]()

    def counted(*arguments: Any) -> Any:
        learnt.append(1)
        return real(*arguments)

    monkeypatch.setattr(moving, "learnt_anew", counted)
    fitted = dataclasses.replace(load_model("dcfnet"), confidence=Confidence(-1.0, {"likeness": 6.0}))
    monkeypatch.setattr(opening, "load_model", lambda model: fitted)
    for device in ("cuda", "cpu"):
        tracker = dcfnet.MultiTracker("dcfnet", device=device, config=CONFIG | WHOLE_FRAME, capacity=2)
        tracker.add(clip.frame(0), clip.box(0))
        for index in (1, 2):
            tracker.update(clip.frame(index))
        assert tracker._state is not None
        tracker._state.targets["doubtful_frames"] = 9
        tracker._state.targets["centre"] = (40, 40)
        done = tracker.correct(clip.frame(3), [clip.box(3)])
        assert done.taken == {0: 0}
        boxes.append([tuple(done.results[0].box), *(tuple(tracker.update(clip.frame(i))[0].box) for i in (4, 5))])
    assert len(learnt) == 2
    assert Box(*boxes[0][-1]).iou(clip.box(5)) > 0.7
    np.testing.assert_allclose(boxes[0], boxes[1], rtol=0, atol=1e-3)
