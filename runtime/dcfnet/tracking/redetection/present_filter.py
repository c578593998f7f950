"""Redetection of lost and occluded targets with present filters, near the last confident position and anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.tracking.geometry import limit_centre
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.camera_cuts import Views, is_cut
from dcfnet.tracking.redetection.first_filter import find_doubtful
from dcfnet.tracking.redetection.positions import centres_in_frame, centres_of_turn, places_in_frame
from dcfnet.tracking.redetection.searches import STRONGER, SearchClock, stronger, with_redetected
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import not_found, occluded, relative_strength

# A redetected target must reach these shares of its typical PSR and peak (docs/tuning.md).
REDETECTED_PSR, REDETECTED_PEAK = 0.5, 0.75
REDETECTED_STRENGTH = 0.3  # with `min_strength`: it must also reach this share of its typical strength
# After a camera cut: the most positions of one frame. This is the whole frame, unless the target is small in it.
PLACES_AFTER_CUT = 64


def redetect(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], detection: Detection, views: Views
) -> tuple[TrackState, Detection]:
    """Searches for lost, occluded and doubtful targets elsewhere. Returns the detections, replaced where it succeeded.

    Only targets without a confident detection in the previous frame are searched, at `redetection_patches` positions
    per frame: the first is on rings around the last confident position, the others are anywhere in the frame. A search
    succeeds if its response is close to the target's typical one. With `redetection_ms` the positions end when the next
    one would take too long; the next frame goes on with those that are left. The first position is always searched.
    After a camera cut, all lost and occluded targets are searched in the whole frame. views: of their frames.
    Doubtful targets: see `find_doubtful`.
    """
    config = pipeline.config
    if not config.redetection_rings:
        return state, detection
    if not (state.frames_since_confident.any() or config.searches_whole_frame()):  # nearly always
        return state, detection
    clock = SearchClock(config.redetection_ms)
    unseen = not_found(pipeline, state, detection) | occluded(pipeline, state, detection)
    rows = np.flatnonzero(unseen)
    if config.searches_whole_frame() and len(rows):
        cut = is_cut(state.view[rows], views[rows])
        detection = _search_whole_frame(pipeline, state, frames, detection, rows[cut], clock)
        rows = rows[~cut]
    rows = rows[state.frames_since_confident[rows] > 0]
    skipped = state.skipped.copy()
    for turn in range(config.redetection_patches):
        if not len(rows):
            break
        if turn and not clock.has_time():
            skipped[rows] += config.redetection_patches - turn
            break
        part = state.take(rows)
        there = part.replace(centre=centres_of_turn(pipeline, part, turn), size=part.confident_size)
        found = search(pipeline, there, frames, pipeline.search_regions(there.size))()
        accepted = _is_target(pipeline, part, found, detection.take(rows))
        if accepted.any():
            detection = with_redetected(detection, rows[accepted], found.take(accepted))
        rows = rows[~accepted]
        clock.searched()
    return find_doubtful(pipeline, state.replace(skipped=skipped), frames, detection, ~unseen, clock)


def _search_whole_frame(
    pipeline: Pipeline,
    state: TrackState,
    frames: Mapping[int, Any],
    detection: Detection,
    rows: NDArray[np.intp],
    clock: SearchClock,
) -> Detection:
    """The detections of N targets, replaced for those of `rows` that are found somewhere in their frames.

    Up to PLACES_AFTER_CUT positions are searched, the nearest first, and then the place of the strongest detection: a
    target between two positions has a weak response.
    """
    if not len(rows):  # nearly always
        return detection
    part = state.take(rows)
    part, best = part.replace(size=part.confident_size), None
    for turn in range(min(PLACES_AFTER_CUT, max(map(len, places_in_frame(pipeline, part))))):
        if turn and not clock.has_time():
            break
        best = stronger(pipeline, part, frames, best, centres_in_frame(pipeline, part, np.full(len(part), turn)))
        clock.searched()
    assert best is not None
    best = stronger(pipeline, part, frames, best, limit_centre(best.centre, part.frame_size))
    accepted = _is_target(pipeline, part, best, detection.take(rows))
    return with_redetected(detection, rows[accepted], best.take(accepted))


def _is_target(pipeline: Pipeline, state: TrackState, found: Detection, present: Detection) -> NDArray[np.bool_]:
    """Whether a redetection search found the target, bool (N,). present: the detections that it would replace."""
    typical_psr, typical_peak, _ = state.typical.T
    accepted: NDArray[np.bool_] = found.lowest_psr >= np.maximum(
        REDETECTED_PSR * typical_psr, pipeline.config.confident_psr
    )
    accepted &= found.peak.value >= REDETECTED_PEAK * typical_peak
    if pipeline.config.min_strength:
        strength = relative_strength(state, found)
        accepted &= (strength >= REDETECTED_STRENGTH) & (strength > STRONGER * relative_strength(state, present))
    else:
        accepted &= found.peak.value > present.peak.value
    return accepted
