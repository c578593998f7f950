"""Search positions that follow the camera, on a GPU: the host decides, and reads the scene of each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from dcfnet import MultiTracker
from dcfnet_evaluation.rendered import Clip

CONFIG = {"patch_size": 48, "scales": 1, "update_interval": 1, "camera_motion": True}
SHIFTS = ((0, 0), (30, -24), (-34, 20))  # px, of the whole frame


def test_boxes_and_scenes_equal_those_of_the_cpu(place: str, clip: Clip) -> None:
    """Also for frames that are on the GPU already."""
    box = clip.box(0)
    found: list[Any] = []
    for device in ("cuda", "cpu"):
        tracker = MultiTracker("dcfnet", device=device, config=CONFIG, capacity=2)
        target, boxes = tracker.add(clip.frame(0), box), []
        backend = tracker._pipeline.backend
        for shift in SHIFTS:
            frame = np.roll(clip.frame(0), shift, axis=(1, 0))
            for given in (frame, backend.asarray(frame)):
                boxes.append(tuple(tracker.update(given)[target].box))
        assert tracker._state is not None
        found.append((np.array(boxes), tracker._state.scenes.copy()))
    (boxes, scenes), (expected, expected_scenes) = found
    np.testing.assert_allclose(boxes, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(boxes[-1], (box.x - 34, box.y + 20, box.w, box.h), atol=4)
    np.testing.assert_array_equal(scenes, expected_scenes)
