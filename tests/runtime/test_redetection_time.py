"""The limit of time of redetection: positions that are left out are searched in later frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection import present_filter
from dcfnet.tracking.redetection.searches import SearchClock
from dcfnet.tracking.search import PendingDetection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init, step
from dcfnet_evaluation.rendered import noise_texture

from tests.conftest import make_raw_pipeline

PATCHES = 6
Place = tuple[float, ...]


class Clock:
    """There is time for `allowed` positions per frame."""

    allowed = PATCHES

    def __init__(self, limit: float) -> None:
        self._left = self.allowed if limit else PATCHES

    def searched(self) -> None:
        self._left -= 1

    def has_time(self) -> bool:
        return self._left > 0


def places_of(monkeypatch: pytest.MonkeyPatch, frames: int, **settings: Any) -> list[list[Place]]:
    """The positions that are searched in each frame for a target that is not there."""
    pipeline = make_raw_pipeline(redetection_patches=PATCHES, min_likeness=1.0, **settings)
    rng, searched = np.random.default_rng(0), list[list[Place]]()
    state = init(pipeline, [noise_texture(rng, 480, 640)], [Box(100, 80, 50, 30)], [0])
    state = state.replace(frames_since_confident=np.ones(1, np.intp), typical=np.full((1, 3), 1e3))

    def record(pipeline: Pipeline, there: TrackState, frames: Sequence[Any], regions: Any) -> PendingDetection:
        searched[-1].append(tuple(there.centre[0]))
        return search(pipeline, there, frames, regions)

    monkeypatch.setattr(present_filter, "search", record)
    for _ in range(frames):
        searched.append([])
        state, _ = step(pipeline, state, [noise_texture(rng, 480, 640)])
    return searched


@pytest.mark.parametrize("allowed", [2, 3, 5])
def test_positions_without_time_are_searched_in_later_frames(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    everything = [place for places in places_of(monkeypatch, 4) for place in places[1:]]
    monkeypatch.setattr(present_filter, "SearchClock", Clock)
    monkeypatch.setattr(Clock, "allowed", allowed)
    limited = places_of(monkeypatch, 8, redetection_ms=10)
    assert {len(places) for places in limited} == {allowed}
    anywhere = [place for places in limited for place in places[1:]]  # the first one is on a ring
    assert anywhere == everything[: len(anywhere)] or anywhere[: len(everything)] == everything


def test_one_position_is_searched_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(places) for places in places_of(monkeypatch, 3, redetection_ms=1e-6)] == [1, 1, 1]


def test_without_a_limit_all_positions_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(places) for places in places_of(monkeypatch, 3)] == [PATCHES] * 3


def test_the_clock_expects_the_longest_search(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("dcfnet.tracking.redetection.searches.time.perf_counter", lambda: now)
    clock = SearchClock(limit=20)
    for moment, expected in [(0.004, True), (0.010, True), (0.014, True), (0.0141, False)]:
        now = moment
        clock.searched()
        assert clock.has_time() is expected, moment
