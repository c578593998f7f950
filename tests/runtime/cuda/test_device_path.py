"""The comparison of `benchmarks/device_path.py` on rendered footage: the device decides as the host does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.devices.records import TARGET
from dcfnet.lifecycle import opening
from dcfnet.model.confidence import Confidence
from dcfnet.result import Box, Reason, Result, Status
from dcfnet_evaluation.rendered import render_clip

from benchmarks.gpu.paths import FORMS, Comparison, compare

LENGTH = 14


class Footage:
    """A rendered sequence. Noise replaces three frames from frame `covered` on. The target is then `away` px aside."""

    def __init__(self, seed: int, covered: int, away: int) -> None:
        self.name, clip = f"rendered {seed}", render_clip(LENGTH, 320, 240, seed, occluder=False)
        self.boxes = np.array([tuple(clip.box(index)) for index in range(LENGTH)])
        rng = np.random.default_rng(seed)
        self._frames = [clip.frame(index) for index in range(LENGTH)]
        for index in range(covered, LENGTH):
            noise = rng.integers(0, 256, (240, 320, 3), np.uint8)
            self._frames[index] = noise if index < covered + 3 else np.roll(self._frames[index], away, axis=1)

    def __len__(self) -> int:
        return LENGTH

    def read(self, index: int) -> Any:
        return self._frames[index]


# Settings, how far the target of the first camera is away, px, and statuses that must occur. With one scale the test
# takes a third of the time.
SMALL = {"patch_size": 48, "scales": 1}
CASES: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    "occlusions": ({"min_strength": 0.3, "lost_after": 2}, 0, {"uncertain occluded", "lost occluded", "lost unlike"}),
    "turns": ({"rotation_step": 10.0}, 0, {"tracked found"}),
    "redetection": ({"redetection_patches": 9}, 70, {"tracked redetected", "uncertain low_psr", "lost low_psr"}),
    "whole frame": (
        {"min_strength": 0.3, "redetection_patches": 3, "lost_after": 1, "lost_confidence": 0.6},
        70,
        {"tracked redetected", "uncertain occluded"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_device_decides_as_the_host_and_as_the_cpu(fake: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Two cameras that skip frames; targets come and go. Results and states are equal to the last bit."""
    fitted = dataclasses.replace(load_model("dcfnet"), confidence=Confidence(-1.0, {"likeness": 6.0}))
    if name == "whole frame":
        monkeypatch.setattr(opening, "load_model", lambda _: fitted)
    (changes, away, expected), counts = CASES[name], Comparison()
    footage: Any = [Footage(1, 3, away), Footage(2, 5, away // 2)]
    compare({"model": "dcfnet", "config": {**SMALL, **changes}}, footage, 1.0, counts)
    assert counts.results_unlike_host == counts.states_unlike_host == counts.decisions_unlike_cpu == 0, counts.first
    assert set(counts.seen) >= {"tracked found", *expected}
    assert min(counts.decided["device"], counts.decided["device and host"]) > 0
    assert counts.frames < 2 * (LENGTH - 1)  # cameras skip frames


def test_a_difference_in_the_last_bit_is_counted() -> None:
    counts = Comparison()
    result = Result(Box(1, 2, 3, 4), 0.5, 9, 30, Status.TRACKED, Reason.FOUND)
    other = dataclasses.replace(result, box=Box(np.nextafter(1, 2), 2, 3, 4))
    records = dict.fromkeys(FORMS, np.zeros(1, TARGET))
    counts.add({"device": {0: result}, "host": {0: other}, "cpu": {0: other}}, records, "clip")
    assert counts.decisions_unlike_host == counts.results_unlike_host == counts.decisions_unlike_cpu == 1
    assert 0 < counts.largest < 1e-15
    assert not counts.states_unlike_host
