"""Targets that are hidden: told as soon as they are, nothing learnt of what hides them, found where they come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dcfnet import Tracker
from dcfnet.admission import follow_resolution
from dcfnet.geometry import Box, size_limits
from dcfnet.pipeline import Pipeline
from dcfnet.result import Reason, Result, Status
from dcfnet.sighting import places_around
from dcfnet.steps import init, step
from dcfnet_evaluation.rendered import noise_texture, paste

from tests.conftest import make_raw_pipeline

HIDDEN = range(20, 35)
OUT = 60  # px to the right of where it went in
BOARD = (slice(80, 170), slice(90, 250))


@pytest.fixture
def passing(rng: np.random.Generator) -> list[tuple[np.ndarray, Box]]:
    """A target that goes behind a board and comes out elsewhere: frames and truth."""
    scene, texture, board = (
        noise_texture(rng, 240, 400),
        noise_texture(rng, 36, 36, contrast=90),
        noise_texture(rng, 240, 400),
    )
    made = []
    for t in range(100):
        box = Box.of((110 + t + (OUT if t > HIDDEN[0] else 0), 125), (36, 36))
        frame = scene.copy()
        paste(frame, texture, np.ones((36, 36), np.float32), box)
        if t in HIDDEN:
            frame[BOARD] = board[BOARD]
        made.append((frame, box))
    return made


def followed(passing: list[tuple[np.ndarray, Box]], **config: Any) -> list[Result]:
    tracker = Tracker(config=config, device="cpu")
    tracker.init(*passing[0])
    return [tracker.update(frame) for frame, _ in passing[1:]]


def test_a_target_that_comes_out_elsewhere_is_found_there(passing: list[tuple[np.ndarray, Box]]) -> None:
    results = followed(passing)
    hidden = [results[t - 1] for t in HIDDEN]
    assert {result.status for result in hidden[1:]} <= {Status.LOST, Status.UNCERTAIN}
    last, truth = results[-1], passing[-1][1]
    assert last.status is Status.TRACKED
    assert last.box.iou(truth) > 0.8


def test_without_other_places_it_is_lost_and_says_so(passing: list[tuple[np.ndarray, Box]]) -> None:
    results = followed(passing, search_rings=0)
    assert {result.status for result in results[HIDDEN[1] :]} <= {Status.LOST, Status.UNCERTAIN}


def test_what_hides_a_target_is_not_learnt(frame: np.ndarray, rng: np.random.Generator) -> None:
    """Other texture in its place has a peak that any filter clears: it is far from what the target's used to be."""
    pipeline = make_raw_pipeline(min_psr=0.0, min_likeness=0.2)
    state = init(pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    for _ in range(3):
        state, _ = step(pipeline, state, [frame])
    after, (result,) = step(pipeline, state, [noise_texture(rng, 240, 320)])
    assert (result.status, result.reason) == (Status.LOST, Reason.UNLIKE)
    assert np.array_equal(after.filters.arrays.numerator, state.filters.arrays.numerator)
    np.testing.assert_array_equal(after.usual, state.usual)
    np.testing.assert_array_equal(after.centre, state.centre)
    _, (found,) = step(pipeline, after, [frame])
    assert found.status is Status.TRACKED


def test_one_target_in_doubt_costs_the_others_nothing(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    boxes = [Box(60, 60, 40, 40), Box(200, 100, 30, 50)]
    both = init(raw_pipeline, [frame, frame], boxes, [0, 1])
    alone = init(raw_pipeline, [frame], boxes[1:], [0])
    other = np.ascontiguousarray(frame[::-1, ::-1])
    for t in range(5):
        both, (_, beside) = step(raw_pipeline, both, [other if t else frame, np.roll(frame, t, axis=1)])
        alone, (single,) = step(raw_pipeline, alone, [np.roll(frame, t, axis=1)])
        assert tuple(beside.box) == pytest.approx(tuple(single.box), abs=1e-3)
    assert both.doubtful[0] > 0
    assert both.doubtful[1] == 0


def test_where_it_was_seen_last_follows_the_resolution(raw_pipeline: Pipeline, frame: np.ndarray) -> None:
    state = init(raw_pipeline, [frame], [Box(100, 80, 50, 30)], [0])
    ratio = (0.2, 5.0)
    half, _ = follow_resolution(state, [frame[::2, ::2]], ratio)
    eighth, _ = follow_resolution(state, [frame[::8, ::8]], ratio)
    np.testing.assert_array_equal(eighth.limits, size_limits(eighth.initial_size, eighth.frame_size, ratio))
    assert eighth.limits[0, 0] > half.limits[0, 0]  # it may shrink no more: a side has its least
    np.testing.assert_allclose(half.sure_size, state.sure_size / 2)
    np.testing.assert_allclose(half.sure_centre, half.centre)


@pytest.mark.parametrize("rings", [0, 1, 2, 5])
def test_places_lie_on_rings_the_near_ones_first(rings: int) -> None:
    places = places_around(rings)
    assert len(np.unique(places.round(6), axis=0)) == len(places) == (2 * rings + 1) ** 2
    assert (np.abs(places).max(axis=1) <= rings + 1e-9).all()
    assert (np.diff(np.abs(places).max(axis=1).round(6)) >= 0).all()
    np.testing.assert_allclose(places.sum(axis=0), 0, atol=1e-9)
