"""Redetection of doubtful targets: with the filter of the first frame, in the whole frame.

If the filter has learnt something else, it gives a clear peak there, and a weak one at the target. The filter of the
first frame never changes. So it finds the target again, as long as the target looks as it did then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.decision_rules import SURE_CONFIDENCE, SURE_RATE
from dcfnet.tracking.geometry import limit_centre, select_rows
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.positions import centres_in_frame
from dcfnet.tracking.redetection.searches import STRONGER, SearchClock, stronger, with_redetected
from dcfnet.tracking.rotation import first_templates
from dcfnet.tracking.search import Detection
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import relative_strength, running_response

# Share of the strength in such frames that the target must reach, in so many frames in a row (docs/tuning.md).
FOUND_STRENGTH, FOUND_FRAMES = 0.5, 3


def doubtful(pipeline: Pipeline, state: TrackState) -> NDArray[np.bool_]:
    """Whether the confidence of targets was too low for too long, bool (N,)."""
    return state.doubtful_frames > pipeline.config.lost_after


def record_sure(
    pipeline: Pipeline, state: TrackState, detection: Detection, confidence: NDArray[np.float64]
) -> TrackState:
    """The state with position, size and response of the targets with a high confidence (N,)."""
    if not pipeline.config.searches_whole_frame():
        return state
    sure = confidence >= SURE_CONFIDENCE
    response = running_response(state.sure_response, detection, SURE_RATE)
    return state.replace(
        sure_centre=select_rows(sure, state.centre, state.sure_centre),
        sure_size=select_rows(sure, state.size, state.sure_size),
        sure_response=select_rows(sure, response, state.sure_response),
    )


def find_doubtful(
    pipeline: Pipeline,
    state: TrackState,
    frames: Mapping[int, Any],
    detection: Detection,
    seen: NDArray[np.bool_],
    clock: SearchClock,
) -> tuple[TrackState, Detection]:
    """Searches for doubtful targets with their first filters. Returns the detections, replaced where it succeeded.

    seen: bool (N,), whether the present filter sees something. If it does not, it has learnt nothing else, and is used.

    In each frame `redetection_patches` positions are searched, and the place of the strongest detection. If it reaches
    FOUND_STRENGTH, it is the candidate. A candidate that is as strong in FOUND_FRAMES frames in a row is the target.
    Its filter is then learnt anew from the last of them, because the present one has learnt something else.
    """
    wanted = doubtful(pipeline, state) & seen & pipeline.config.searches_whole_frame()
    rows, none = np.flatnonzero(wanted), np.zeros(len(state), np.intp)
    if not len(rows):  # nearly always
        ended = bool(state.positions_searched.any())
        return state.replace(candidate_frames=none, positions_searched=none) if ended else state, detection
    part, present = as_sure(state.take(rows)), detection.take(rows)
    best, known, searched = _strongest(pipeline, part, frames, clock)
    strength = relative_strength(part, best)
    strong = (strength >= FOUND_STRENGTH) & (strength > STRONGER * relative_strength(part, present))
    strong &= part.typical.all(axis=1)  # else there is nothing to compare with
    count = np.where(strong, np.where(known, part.candidate_frames, 0) + 1, 0)
    candidates = {"candidate_centre": _put(state.candidate_centre, rows, best.centre)}
    counts = {"candidate_frames": _put(none, rows, count), "positions_searched": _put(none, rows, searched)}
    state, found = state.replace(**candidates, **counts), count >= FOUND_FRAMES
    if not found.any():
        return state, detection
    again = best.take(found)
    state = learnt_anew(pipeline, state, frames, rows[found], again.centre, again.size)
    return state, with_redetected(detection, rows[found], again)


def as_sure(state: TrackState) -> TrackState:
    """N targets with their first filters in place of the present ones, and all else as in the last sure frame."""
    arrays = state.filters.arrays
    first = dataclasses.replace(arrays, filter_f=arrays.first_f, colours=arrays.first_colours)
    places = {"size": state.sure_size, "confident_size": state.sure_size, "confident_centre": state.sure_centre}
    return state.replace(**places, typical=state.sure_response, filters=first)


def _strongest(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], clock: SearchClock
) -> tuple[Detection, NDArray[np.bool_], NDArray[np.intp]]:
    """The strongest detections of N targets, whether each is that of its known candidate, and `positions_searched`.

    The candidate of the frame before is searched first. No other position is searched if it is strong again.
    """
    known, searched, patches = state.candidate_frames > 0, state.positions_searched, pipeline.config.redetection_patches
    centres = select_rows(known, state.candidate_centre, centres_in_frame(pipeline, state, searched))
    best = stronger(pipeline, state, frames, None, limit_centre(centres, state.frame_size))
    searched = searched + ~known
    clock.searched()
    known &= relative_strength(state, best) >= FOUND_STRENGTH
    rows = np.flatnonzero(~known)
    for turn in range(1, patches + 1):
        if not len(rows) or not clock.has_time():
            break
        part, last = state.take(rows), turn == patches
        strongest = limit_centre(best.centre[rows], part.frame_size)
        centres = strongest if last else centres_in_frame(pipeline, part, searched[rows])
        best = best.put(rows, stronger(pipeline, part, frames, best.take(rows), centres))
        searched[rows] += not last
        clock.searched()
    return best, known, searched


def learnt_anew(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], rows: NDArray[np.intp], centre: Pairs, size: Pairs
) -> TrackState:
    """The state with the filters of R `rows` learnt from their patches there. The first filters stay.

    centre, size: (R, 2), frame pixels.
    """
    part = state.take(rows).replace(centre=limit_centre(centre, state.frame_size[rows]), size=size)
    places = first_templates(pipeline, frames, part.source, part.centre, part.size, part.light, part.angle)
    before = part.filters.arrays
    learnt = dataclasses.replace(
        pipeline.initial_filters(places), first_f=before.first_f, first_colours=before.first_colours
    )
    counts = {
        name: _put(getattr(state, name), rows, 0)
        for name in ("doubtful_frames", "candidate_frames", "positions_searched")
    }
    return state.replace(**counts, filters=state.filters.put(rows, learnt))


def _put(values: NDArray[Any], rows: NDArray[np.intp], others: Any) -> NDArray[Any]:
    """A copy of the values, with those of `rows` replaced."""
    changed = values.copy()
    changed[rows] = others
    return changed
