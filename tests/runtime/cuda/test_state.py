"""State files, copies and response maps of a tracker on a GPU, whose filters are in slots of device memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.errors import StateError
from dcfnet_evaluation.rendered import Clip

CONFIG = {"patch_size": 48, "scales": 1, "update_interval": 1}
TOLERANCE = {"standin": 0.0, "gpu": 1e-3}  # px: on a GPU the order of a sum may depend on the number of targets


@pytest.fixture
def tracker(place: str, clip: Clip) -> dcfnet.Tracker:
    """A tracker on a GPU, after one update."""
    tracker = dcfnet.Tracker("dcfnet", device="cuda", config=CONFIG)
    tracker.init(clip.frame(0), clip.box(0))
    tracker.update(clip.frame(1))
    return tracker


def boxes(tracker: dcfnet.Tracker, clip: Clip) -> np.ndarray:
    """The boxes of the next two frames."""
    return np.array([tuple(tracker.update(clip.frame(index)).box) for index in (2, 3)])


def test_a_state_moves_between_a_gpu_and_a_cpu(tracker: Any, place: str, clip: Clip, tmp_path: Path) -> None:
    host = dcfnet.Tracker("dcfnet", device="cpu", config=CONFIG)
    tracker.save(tmp_path / "gpu.state")
    host.restore(tmp_path / "gpu.state")
    host.save(tmp_path / "cpu.state")
    expected = boxes(tracker, clip)
    np.testing.assert_allclose(boxes(host, clip), expected, rtol=0, atol=1e-3)
    for file, tolerance in (("gpu.state", TOLERANCE[place]), ("cpu.state", 1e-3)):
        tracker.restore(tmp_path / file)
        np.testing.assert_allclose(boxes(tracker, clip), expected, rtol=0, atol=tolerance)


def test_copies_and_restored_states_have_slots_of_their_own(
    tracker: Any, place: str, clip: Clip, tmp_path: Path
) -> None:
    twin, removed = copy.copy(tracker), copy.deepcopy(tracker)
    removed.close()
    tracker.save(tmp_path / "gpu.state")
    expected = boxes(tracker, clip)
    np.testing.assert_allclose(boxes(twin, clip), expected, rtol=0, atol=TOLERANCE[place])
    used = []
    for _ in range(3):
        tracker.restore(tmp_path / "gpu.state")
        used.append(tracker._state.filters.allocation.slots)
    assert twin._state.filters.allocation.slots not in used
    assert used[0] is used[2]  # slots of the former target are used again
    (tmp_path / "gpu.state").write_bytes(b"cut")
    with pytest.raises(StateError, match="it has 3 bytes"):
        tracker.restore(tmp_path / "gpu.state")
    assert tracker._state.filters.allocation.slots is used[2]


def test_response_maps_are_those_of_the_cpu_and_change_no_target(tracker: Any, place: str, clip: Clip) -> None:
    host = dcfnet.Tracker("dcfnet", device="cpu", config=CONFIG)
    host.init(clip.frame(0), clip.box(0))
    host.update(clip.frame(1))
    maps = tracker.response_maps(clip.frame(2))
    assert isinstance(maps, np.ndarray)
    np.testing.assert_allclose(maps, host.response_maps(clip.frame(2)), rtol=0, atol=1e-3)
    np.testing.assert_allclose(boxes(tracker, clip), boxes(host, clip), rtol=0, atol=1e-3)
