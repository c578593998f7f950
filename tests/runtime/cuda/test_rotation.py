"""Searches at other angles on a GPU: the host decides, with the boxes and angles of the CPU."""

from __future__ import annotations

import cv2
import numpy as np
from dcfnet import MultiTracker
from dcfnet_evaluation.rendered import Clip

CONFIG = {"patch_size": 48, "scales": 1, "update_interval": 1, "rotation_step": 8.0}


def test_boxes_and_angles_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    frame, box = clip.frame(0), clip.box(0)
    found = []
    for device in ("cuda", "cpu"):
        tracker = MultiTracker("dcfnet", device=device, config=CONFIG, capacity=2)
        target, boxes = tracker.add(frame, box), []
        for index in range(1, 5):
            turn = cv2.getRotationMatrix2D(box.centre, -8.0 * index, 1)
            rolled = cv2.warpAffine(frame, turn, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
            boxes.append(tuple(tracker.update(rolled)[target].box))
        assert tracker._state is not None
        found.append((np.array(boxes), np.degrees(tracker._state.angle)))
    (boxes, angles), (expected, expected_angles) = found
    np.testing.assert_allclose(boxes, expected, rtol=0, atol=0.05)
    np.testing.assert_allclose(angles, expected_angles, rtol=0, atol=1e-9)
    assert angles[0] > 0
