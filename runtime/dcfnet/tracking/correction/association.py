"""The association of targets with the boxes of a detector: which target takes which box.

A target can take a box for two reasons. The box overlaps the target box; this counts only for a target that was
confidently detected in the previous frame. Or a search pass at the box finds the target there; this counts near the
target box. It counts in the whole frame for a target that may be elsewhere: it was not confidently detected, its
confidence is low, or its box overlaps that of another target. Of all possible pairs, those with the largest sum of
overlap and response are chosen. For a doubtful target the first filter is applied too, and its overlap does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.result import Box
from dcfnet.tracking.geometry import both_true, to_centre_grid
from dcfnet.tracking.light import search_in_light
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.first_filter import FOUND_STRENGTH, as_sure, doubtful
from dcfnet.tracking.redetection.present_filter import REDETECTED_PEAK
from dcfnet.tracking.redetection.searches import STRONGER
from dcfnet.tracking.search import Detection
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import confidence_of, relative_strength

NOT_TAKEN = -1
MIN_OVERLAP = 0.3  # IoU: the threshold of SORT (Bewley et al., ICIP 2016)
NEAR = 1.0  # target sizes, along each axis: a target does not move farther in a frame (docs/glossary.md, padding)
MIN_AGREEMENT = 0.5  # IoU of a box and of the detection around it: with less, the search found another object beside it
PROBABLE = 0.5  # confidence above which the target is rather at a position than not
PROBABLE_PEAK = 0.6  # share of the typical peak that is enough with that confidence, instead of REDETECTED_PEAK


def associate(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Mapping[int, Sequence[Box]]
) -> NDArray[np.intp]:
    """The index of the box that each of N targets takes among the boxes of its frame, (N,); NOT_TAKEN for none.

    frames: by source, as `Backend.frame` returns them. boxes: of each frame, frame pixels, checked.
    Raises MissingDependencyError for a frame with several targets and several boxes without SciPy.
    """
    taken = np.full(len(state), NOT_TAKEN, dtype=np.intp)
    for source, seen in boxes.items():
        rows = np.flatnonzero(state.source == source)
        if len(rows) and seen:
            taken[rows] = assign(affinities(pipeline, state.take(rows), frames, seen))
    return taken


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


def affinities(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Sequence[Box]
) -> NDArray[np.float64]:
    """Overlap + response of N targets of one frame and its M boxes, (N, M), in [0, 2]; 0 for an impossible pair."""
    centres, sizes = np.array([box.centre for box in boxes]), np.array([box.size for box in boxes])
    overlap = overlaps(state.boxes(), boxes)
    confident, doubt = state.frames_since_confident == 0, doubtful(pipeline, state)
    here = None if pipeline.confidence is None else search_in_light(pipeline, state, frames)[1]
    elsewhere = ~confident | doubt | shared(state) | improbable(pipeline, state, here)
    near = np.stack([near_target(state, centre) for centre in centres], axis=1)
    sources = np.full(len(boxes), state.source[0])
    textured = pipeline.backend.check_texture(frames, sources, centres, pipeline.search_regions(sizes))().textured
    searched = (near | elsewhere[:, None]) & textured
    affinity = np.where(searched & confident[:, None] & (overlap >= MIN_OVERLAP), overlap, 0.0)
    for column, box in enumerate(boxes):
        rows = np.flatnonzero(searched[:, column])
        if len(rows):
            own = None if here is None else here.take(rows)
            response, found = responses(pipeline, state.take(rows), frames, box, own)
            possible = found | (affinity[rows, column] > 0)
            # The box of a doubtful target is perhaps on something else, so its overlap is no reason to prefer a box.
            shared_area = np.where(doubt[rows], 0.0, overlap[rows, column])
            affinity[rows, column] = np.where(possible, shared_area + response, 0.0)
    return affinity


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


def improbable(pipeline: Pipeline, state: TrackState, here: Detection | None) -> NDArray[np.bool_]:
    """Whether the target is probably not in its box, bool (N,); false without a fit for the confidence.

    here: detections at the target boxes.
    """
    if here is None:
        return np.zeros(len(state), dtype=np.bool_)
    unlikely: NDArray[np.bool_] = probability(pipeline, state, here) < PROBABLE
    return unlikely


def responses(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], box: Box, here: Detection | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The response of N targets at one box, in [0, 1], (N,), and whether it shows the target, bool (N,).

    here: detections at the target boxes; None without a fit for the confidence.
    """
    boxes = [box] * len(state)
    _, found, _ = search_in_light(pipeline, at_boxes(state, boxes), frames)
    agreement, belief = agreements(found, boxes), probability(pipeline, state, found)
    probable = (belief >= PROBABLE) & (pipeline.confidence is not None)
    share = np.where(probable, PROBABLE_PEAK, REDETECTED_PEAK)
    # The PSR depends on the background, so it need not be near the typical one, as in `redetect`.
    shown = (found.peak.psr >= pipeline.config.confident_psr) & (agreement >= MIN_AGREEMENT)
    shown &= found.peak.value >= share * state.typical[:, 1]
    response = belief * agreement
    again, rows = seen_by_first_filter(pipeline, state, frames, boxes, here)
    if again is not None:
        best = probability(pipeline, state.take(rows), again) * agreements(again, [box] * len(rows))
        response[rows] = np.maximum(best, np.where(shown[rows], response[rows], 0.0))
        shown[rows] = True
    return response, shown


def seen_by_first_filter(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], boxes: Sequence[Box], here: Detection | None
) -> tuple[Detection | None, NDArray[np.intp]]:
    """The R of N doubtful targets that their first filters show at their boxes: detections there, and rows (R,).

    here: as for `responses`. As in `find_doubtful`, the strength must be high beside that of the sure frames and that
    at the target box.
    """
    rows = np.flatnonzero(doubtful(pipeline, state) & state.sure_response.all(axis=1))
    if here is None or not len(rows):
        return None, rows[:0]
    part, own = state.take(rows), [boxes[row] for row in rows.tolist()]
    first = as_sure(part)
    _, found, _ = search_in_light(pipeline, at_boxes(first, own), frames)
    strength = relative_strength(first, found)
    shown = (strength >= FOUND_STRENGTH) & (strength > STRONGER * relative_strength(first, here.take(rows)))
    shown &= (agreements(found, own) >= MIN_AGREEMENT) & (probability(pipeline, part, found) >= PROBABLE)
    return found.take(shown), rows[shown]


def agreements(found: Detection, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """IoU of N detections and the boxes that they were searched at, (N,)."""
    places = zip(found.centre, found.size, boxes, strict=True)
    return np.array([Box.of(centre, size).iou(box) for centre, size, box in places])


def probability(pipeline: Pipeline, state: TrackState, found: Detection) -> NDArray[np.float64]:
    """The confidence of N detections, in [0, 1]; without a fit for it the likeness, cut to [0, 1]."""
    confidence = confidence_of(pipeline, state, found)
    return found.peak.likeness.clip(0, 1) if confidence is None else confidence


def at_boxes(state: TrackState, boxes: Sequence[Box]) -> TrackState:
    """The state of N targets with centres and sizes of these N boxes; the filters are the same."""
    centre = to_centre_grid(np.array([box.centre for box in boxes]))
    return state.replace(centre=centre, size=np.array([box.size for box in boxes], dtype=np.float64))
