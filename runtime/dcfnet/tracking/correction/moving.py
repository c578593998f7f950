"""The correction of targets with the boxes of a detector, as pure functions over N targets.

A target takes at most one box (`association.py`). Its box moves there, and its filter is updated there. All other
targets do not change. No target starts or ends here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.config.settings import number
from dcfnet.errors import ConfigError
from dcfnet.result import Box, Corrections, Reason, Result
from dcfnet.tracking.camera_motion import read_scenes
from dcfnet.tracking.correction.association import NOT_TAKEN, associate, near_target
from dcfnet.tracking.correction.box_search import BoxSearch, at_boxes
from dcfnet.tracking.correction.detector_boxes import Boxes, DetectorBoxes, check_boxes
from dcfnet.tracking.frame_validation import Frames, follow_resolution
from dcfnet.tracking.geometry import size_limits, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection.first_filter import learnt_anew
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.status import Evidence, searched_results
from dcfnet.tracking.steps import update_filters
from dcfnet.tracking.typical_response import confidence_of, record_confident


def correct(
    pipeline: Pipeline,
    state: TrackState | None,
    ids: Sequence[int],
    frames: Frames,
    boxes: Boxes | Mapping[int, Boxes],
    weight: float,
) -> tuple[TrackState | None, Corrections]:
    """Corrects the targets whose source has boxes: the new state, and what each target took.

    ids: of the targets. Other arguments, and errors, as for `MultiTracker.correct`; an error changes nothing. Do not
    use the old state again.
    """
    is_valid, rule = number(0, 1)
    if not is_valid(weight):
        raise ConfigError(f"weight={weight!r}: must be {rule}")
    seen = check_boxes(pipeline.backend, frames, boxes)
    if state is None:
        return None, _corrections(seen, [], [], [], [])
    rows, part = state.of_sources(seen)
    validated = {source: given.frame for source, given in seen.items()}
    listed = {source: given.boxes for source, given in seen.items()}
    part, _ = follow_resolution(part, validated, pipeline.config.scale_limits())
    taken, searches = associate(pipeline, part, validated, listed)
    targets, sources = [ids[row] for row in rows], state.source[rows]
    (chosen,) = (taken != NOT_TAKEN).nonzero()
    if searches is None:
        return state, _corrections(seen, targets, sources, taken, [])
    part = part.take(chosen)
    own = [listed[source][box] for source, box in zip(part.source.tolist(), taken[chosen], strict=True)]
    part, results = move_to_boxes(pipeline, part, validated, own, searches, weight)
    state = state.put(rows[chosen], part)
    return state, _corrections(seen, targets, sources, taken, results)


def move_to_boxes(
    pipeline: Pipeline,
    state: TrackState,
    frames: Mapping[int, Any],
    boxes: Sequence[Box],
    searches: BoxSearch,
    weight: float,
) -> tuple[TrackState, list[Result]]:
    """Moves N targets to N boxes and updates their filters there. The filters of the first frame do not change.

    The size limits are then relative to the new size, and the target keeps its aspect ratio. The weight is for targets
    near their box that were confidently detected in the previous frame; for others it is 1. searches: at the boxes.
    """
    there, every, none = at_boxes(state, boxes), np.ones(len(state), np.bool_), np.zeros(len(state), np.bool_)
    found, anew = searches.found, searches.by_first
    reliable = (state.frames_since_confident == 0) & near_target(state, there.centre)
    share = np.where(reliable, weight, 1.0)[:, None]
    # Not `dcf.blend`: a weight of 1 must give the numbers of the box exactly.
    centre = to_centre_grid((1 - share) * state.centre + share * there.centre)
    size = np.maximum((1 - share) * state.box_size() + share * there.size, MIN_TARGET_SIDE)
    limits = size_limits(size, state.frame_size, pipeline.config.scale_limits())
    confidence = confidence_of(pipeline, state, found)
    names = ("occluded_frames", "doubtful_frames", "candidate_frames", "positions_searched")
    counts = dict.fromkeys(names, np.zeros_like(state.occluded_frames))
    sure = {"sure_centre": centre, "sure_size": size}  # the box is from a detector
    state = state.replace(centre=centre, size=size, initial_size=size, size_angle=state.angle, size_limits=limits)
    # The box is of this frame, which need not be that of the last `update`.
    state = state.replace(**counts, **sure, light=searches.light, scenes=read_scenes(pipeline, frames, state.source))
    state = record_confident(state, found, every, searches.levels)
    state = update_filters(pipeline, state, frames, np.flatnonzero(~anew))
    if anew.any():
        state = learnt_anew(pipeline, state, frames, np.flatnonzero(anew), centre[anew], size[anew])
    probable = every if confidence is None else confidence >= pipeline.config.min_confidence
    evidence = Evidence(every, every, every, every, none, none, every, probable, none, none)
    results = searched_results(state.boxes(), found, evidence, confidence)
    return state, [replace(result, reason=Reason.CORRECTED) for result in results]


def _corrections(
    seen: Mapping[int, DetectorBoxes],
    ids: Sequence[int],
    sources: Sequence[int] | NDArray[np.intp],
    taken: Sequence[int] | NDArray[np.intp],
    results: Sequence[Result],
) -> Corrections:
    """What N targets of these sources took, (N,) each. results: of the targets that took a box, in order."""
    indices = {target: None if box == NOT_TAKEN else int(box) for target, box in zip(ids, taken, strict=True)}
    used = {(int(source), int(box)) for source, box in zip(sources, taken, strict=True)}
    left = {
        source: tuple(box for box in range(len(given.boxes)) if (source, box) not in used)
        for source, given in seen.items()
    }
    corrected = [target for target, box in indices.items() if box is not None]
    return Corrections(dict(zip(corrected, results, strict=True)), indices, left)
