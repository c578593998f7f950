"""The association of targets with the boxes of a detector: which target takes which box.

A target can take a box for two reasons. The box overlaps the target box; this counts only for a target that was
confidently detected in the previous frame. Or a search pass at the box finds the target there; this counts near the
target box. It counts in the whole frame for a target that may be elsewhere: it was not confidently detected, its
confidence is low, or its box overlaps that of another target. Of all possible pairs, those with the largest sum of
overlap and response are chosen. The overlap of a doubtful target does not count. `box_search.py` has the searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.result import Box
from dcfnet.tracking.correction.box_search import BoxSearch, improbable, search_at_box
from dcfnet.tracking.geometry import both_true
from dcfnet.tracking.light import search_in_light
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.first_filter import doubtful
from dcfnet.tracking.state import TrackState

NOT_TAKEN = -1
MIN_OVERLAP = 0.3  # IoU: the threshold of SORT (Bewley et al., ICIP 2016)
NEAR = 1.0  # target sizes, along each axis: a target does not move farther in a frame (docs/glossary.md, padding)


class Association(NamedTuple):
    """Which of N targets takes which box.

    taken: (N,), the index of the box among the boxes of its frame; NOT_TAKEN for none. searches: at these boxes, for
    the K targets that take one, in order; None if K is 0.
    """

    taken: NDArray[np.intp]
    searches: BoxSearch | None


class Affinities(NamedTuple):
    """N targets and M boxes of one frame.

    values: (N, M), overlap + response, in [0, 2]; 0 for an impossible pair. searches: of each searched pair
    (target, box); all possible pairs are among them.
    """

    values: NDArray[np.float64]
    searches: Mapping[tuple[int, int], BoxSearch]


def associate(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Mapping[int, Sequence[Box]]
) -> Association:
    """The boxes that N targets take.

    frames: by source, as `Backend.frame` returns them. boxes: of each frame, frame pixels, checked.
    Raises MissingDependencyError for a frame with several targets and several boxes without SciPy.
    """
    taken, searches = np.full(len(state), NOT_TAKEN, dtype=np.intp), dict[int, BoxSearch]()
    for source, seen in boxes.items():
        rows = np.flatnonzero(state.source == source)
        if len(rows) and seen:
            affinity = affinities(pipeline, state.take(rows), frames, seen)
            chosen = taken[rows] = assign(affinity.values)
            for index in np.flatnonzero(chosen != NOT_TAKEN).tolist():
                searches[int(rows[index])] = affinity.searches[index, int(chosen[index])]
    ordered = [searches[row] for row in sorted(searches)]
    return Association(taken, BoxSearch.concatenate(ordered) if ordered else None)


def assign(affinity: NDArray[np.float64]) -> NDArray[np.intp]:
    """The column of each row of `affinity` (N, M) in the pairs with the largest sum, (N,). A pair of 0 is impossible.

    Raises MissingDependencyError for several rows and several columns without SciPy.
    """
    taken = np.full(len(affinity), NOT_TAKEN, dtype=np.intp)
    if min(affinity.shape) == 1:
        rows, columns = (
            place.reshape(1) for place in map(np.array, np.unravel_index(affinity.argmax(), affinity.shape))
        )
    else:
        from dcfnet.tracking.correction.assignment import largest_total

        rows, columns = largest_total(affinity)
    possible = affinity[rows, columns] > 0
    taken[rows[possible]] = columns[possible]
    return taken


def affinities(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Sequence[Box]) -> Affinities:
    """The affinities of N targets of one frame and its M boxes."""
    centres, sizes = np.array([box.centre for box in boxes]), np.array([box.size for box in boxes])
    overlap = overlaps(state.boxes(), boxes)
    confident, doubt = state.frames_since_confident == 0, doubtful(pipeline, state)
    here = None if pipeline.confidence is None else search_in_light(pipeline, state, frames)[1]
    elsewhere = ~confident | doubt | shared(state) | improbable(pipeline, state, here)
    near = np.stack([near_target(state, centre) for centre in centres], axis=1)
    sources = np.full(len(boxes), state.source[0])
    textured = pipeline.backend.check_texture(frames, sources, centres, pipeline.search_regions(sizes))().textured
    searched = (near | elsewhere[:, None]) & textured
    possible = searched & confident[:, None] & (overlap >= MIN_OVERLAP)
    response, searches = np.zeros_like(overlap), dict[tuple[int, int], BoxSearch]()
    for column, box in enumerate(boxes):
        rows = np.flatnonzero(searched[:, column])
        if len(rows):
            own = None if here is None else here.take(rows)
            there = search_at_box(pipeline, state.take(rows), frames, box, own)
            searches |= {(row, column): there.take(np.array([i])) for i, row in enumerate(rows.tolist())}
            possible[rows, column] |= there.shown
            response[rows, column] = there.response
    # The present box is then perhaps on something else, so the overlap with it is no reason to prefer a box.
    doubt[[row for (row, _), search in searches.items() if search.by_first[0]]] = True
    values = np.where(possible, np.where(doubt[:, None], 0.0, overlap) + response, 0.0)
    return Affinities(values, searches)


def near_target(state: TrackState, centre: Pairs) -> NDArray[np.bool_]:
    """Whether a centre, (2,) or (N, 2), is less than NEAR target sizes from the centres of N targets, bool (N,)."""
    return both_true(np.abs(centre - state.centre) < NEAR * state.size)


def overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """IoU of N boxes with M others, (N, M)."""
    return np.array([[box.iou(other) for other in others] for box in boxes])


def shared(state: TrackState) -> NDArray[np.bool_]:
    """Whether the box overlaps that of another target, bool (N,). One of the two may have jumped to the other."""
    others = overlaps(state.boxes(), state.boxes()) * (1 - np.eye(len(state)))
    return np.asarray((others >= MIN_OVERLAP).any(axis=1))
