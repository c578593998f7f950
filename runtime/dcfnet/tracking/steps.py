"""From frames to boxes: the six steps of a frame, as pure functions over N targets.

    1  frame     validated and passed to the backend; an invalid or blank frame does not change the state
    2  patches   all targets x scales are cropped in one call, the mean is subtracted
    3  search_f  forward(backbone(patches)): the transform of filter/transform.py, which applies the cosine window
    4  response  inverse(respond(search_f, filter_f)); its peaks go to the host, the only wait for a device
    5  geometry  shift in the response -> in the patch -> in the frame; scale; size; centre. If the target moved far,
                 steps 2 to 5 run again from the new position (second search pass). If it is lost, they run once more
                 at another position (redetection).
    6  update    crop at the new position, spectrum, blend (eq. 13), solve

One target is the case N = 1. Several cameras are one batch, because every target has the key of its source. A preset
may update the filters only in some frames; each target counts its own frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.records import HOST, taken
from dcfnet.errors import InvalidBoxError
from dcfnet.filter.dcf import Array
from dcfnet.io.frame import Frame, frame_size
from dcfnet.result import Box, Reason, Result
from dcfnet.tracking.camera_motion import follow_camera, read_scenes, search_moved
from dcfnet.tracking.frame_validation import ValidatedFrames, follow_resolution, rejection_reasons, validate_frames
from dcfnet.tracking.geometry import (
    any_true,
    both_true,
    limit_centre,
    limit_size,
    select_rows,
    size_limits,
    target_box,
    to_centre_grid,
)
from dcfnet.tracking.light import follow_light
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection import read_views, record_sure, redetect
from dcfnet.tracking.rotation import by_host, first_templates, search_turned
from dcfnet.tracking.search import Detection, search, search_places, second_pass, target_places
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.status import REASONS, Evidence, decided_results, rejected_results, searched_results, with_reason
from dcfnet.tracking.typical_response import confidence_of, occluded, record_confident, unlike


def init(pipeline: Pipeline, frames: Mapping[int, Any], boxes: Sequence[Box], sources: Sequence[int]) -> TrackState:
    """State of N targets, each learnt from its box in frames[source]. The caller has checked the boxes.

    Raises InvalidFrameError.
    """
    frames = {source: pipeline.backend.frame(frames[source]) for source in sources}
    source = np.asarray(sources, dtype=np.intp)
    centre = to_centre_grid(np.array([box.centre for box in boxes]))
    size = np.array([box.size for box in boxes], dtype=np.float64)
    sizes = np.array([frame_size(frames[i]) for i in sources], dtype=np.float64)
    places = first_templates(pipeline, frames, source, centre, size)
    filters = pipeline.backend.store_filters(pipeline, pipeline.initial_filters(places))
    limits = size_limits(size, sizes, pipeline.config.scale_limits())
    return TrackState.initial(centre, size, sizes, limits, source, filters, read_scenes(pipeline, frames, source))


def init_target(pipeline: Pipeline, frame: Frame, box: Box | Sequence[float]) -> TrackState:
    """The state of one target of source 0 after its first frame. Raises InvalidFrameError and InvalidBoxError."""
    backend = pipeline.backend
    with backend.guarded():
        checked = backend.frame(frame)
        target = target_box(box, frame_size(checked))
        region = pipeline.search_regions(np.array(target.size))
        source, centre = np.zeros(1, np.intp), np.array([target.centre])
        texture = backend.check_texture({0: checked}, source, centre, region[None])()
        if not texture.textured.all():
            text = f"{target}: the region around it has one flat colour; choose a box with texture"
            raise InvalidBoxError(text, no_texture=True)
        view = read_views(pipeline, {0: checked}, source)
        return init(pipeline, {0: checked}, [target], sources=[0]).replace(level=texture.levels, view=view)


def step(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any]) -> tuple[TrackState, list[Result]]:
    """Processes one frame of every source: the new state, and a result per target. Do not use the old state again.

    frames[source] may be any object. An invalid or blank frame gives LOST with the reason and does not change the
    target's state.
    """
    validated = validate_frames(pipeline.backend, frames, state.own_sources)
    if (decided := _decided_by_device(pipeline, state, validated)) is not None:
        return decided
    present, changed = follow_resolution(state, validated, pipeline.config.scale_limits())
    rejected = rejection_reasons(present, validated)
    rows = np.array([row for row, reason in enumerate(rejected) if reason is None], dtype=np.intp)
    if not len(rows):
        return state, rejected_results(present.boxes(), rejected, pipeline.confidence is not None)
    part, centres, known = follow_camera(pipeline, present.take(rows), validated)
    regions = pipeline.search_regions(part.size)
    pending = search(pipeline, part, validated, regions)  # a device starts; the host checks texture meanwhile
    textured, levels = known or pipeline.backend.check_texture(validated, part.source, part.centre, regions)()
    for row in rows[~textured]:
        rejected[row] = Reason.NO_TEXTURE
    if not textured.any():
        return state, rejected_results(present.boxes(), rejected, pipeline.confidence is not None)
    kept = None if textured.all() else textured.nonzero()[0]
    detection = pending(kept)
    if kept is not None:
        part, rows, levels, centres = part.take(kept), rows[kept], levels[kept], centres[kept]
    part, detection = follow_light(pipeline, part, validated, detection, levels)
    part, detection = search_moved(pipeline, part, validated, detection, centres)
    part, detection = search_turned(pipeline, part, validated, detection)
    moved, found = _track(pipeline, part, validated, detection, levels)
    if any(changed):
        each = zip(rows, found, strict=True)
        found = [with_reason(result, Reason.RESOLUTION_CHANGED) if changed[row] else result for row, result in each]
    if len(rows) == len(present):
        return state.put(rows, moved), found
    results = rejected_results(present.boxes(), rejected, pipeline.confidence is not None)
    for row, result in zip(rows, found, strict=True):
        results[row] = result
    return state.put(rows, moved), results


def _decided_by_device(
    pipeline: Pipeline, state: TrackState, frames: ValidatedFrames
) -> tuple[TrackState, list[Result]] | None:
    """As `step`, if the device decides about at least the first search pass of all targets. None: nothing has changed.

    The host decides about targets that are searched in another light, at other angles or at other positions.
    """
    if pipeline.config.camera_motion or (pipeline.config.rotation_step and by_host(state).any()):
        return None
    for source in state.own_sources:  # not `any`: a generator takes 1 us longer
        if isinstance(frames[source], Reason):
            return None
    decided = state.filters.decide(pipeline, state.targets, frames)
    if decided is None:
        return None
    moved, outcomes = state.with_targets(decided.targets), decided.outcomes
    if pipeline.config.searches_whole_frame() and not decided.with_views:
        searched = np.flatnonzero(outcomes["reason"] != REASONS.index(Reason.NO_TEXTURE))
        moved.view[searched] = read_views(pipeline, frames, state.source[searched])
    results = decided_results(outcomes, pipeline.confidence is not None)
    if not decided.for_host:
        return moved, results
    rows = np.flatnonzero(outcomes["flags"] & HOST)
    part, levels = state.take(rows), outcomes["level"][rows]
    part, detection = follow_light(pipeline, part, frames, Detection.of(taken(outcomes, rows)), levels)
    part, detection = search_turned(pipeline, part, frames, detection)
    part, found = _track(pipeline, part, frames, detection, levels)
    for row, result in zip(rows, found, strict=True):
        results[row] = result
    return moved.put(rows, part), results


def _track(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], first: Detection, levels: NDArray[np.float64]
) -> tuple[TrackState, list[Result]]:
    """Steps 5 and 6 after the first search pass, with a second pass and redetection where they are needed.

    levels: see `Texture`.
    """
    config = pipeline.config
    detection = second_pass(pipeline, state, frames, first)
    views = read_views(pipeline, frames, state.source)
    state, detection = redetect(pipeline, state, frames, detection, views)
    inside = limit_centre(detection.centre, state.frame_size)
    limited = limit_size(detection.size, state.initial_size, state.size_limits)
    clear = (detection.peak.psr >= config.min_psr) & (detection.peak.psr > 0)
    similar, visible = ~unlike(pipeline, state, detection), ~occluded(pipeline, state, detection)
    confidence = confidence_of(pipeline, state, detection)
    occluded_frames = np.where(visible, 0, state.occluded_frames + 1)
    lasting = occluded_frames > config.lost_after
    # The lower PSR of both search passes counts: each pass is another chance for a wrong clear peak.
    found, confident = clear & similar, detection.lowest_psr >= config.confident_psr
    # The box of a target that is not found stays in place. This is the border if the target left the frame there.
    position = select_rows(found, detection.centre, state.centre)
    in_view = both_true((position > 0) & (position < state.frame_size - 1))
    kept = found & in_view
    sure = kept & visible  # what covers a target must not enter its filter
    # A box moves only if the target was found. If the target leaves the frame, the box stops at the border.
    state = state.replace(centre=select_rows(found, inside, state.centre), size=select_rows(kept, limited, state.size))
    state = record_confident(state, detection, sure & confident, levels)
    due = state.updates % config.update_interval == config.update_interval - 1
    state = update_filters(pipeline, state, frames, (sure & due).nonzero()[0])
    probable, doubtful_frames = np.ones_like(found), state.doubtful_frames
    if confidence is not None:
        probable = confidence >= config.min_confidence
        doubtful_frames = np.where(confidence < config.lost_confidence, doubtful_frames + 1, 0)
        state = record_sure(pipeline, state, detection, confidence)
    at_limit = any_true(limited != detection.size)
    doubtful = doubtful_frames > config.lost_after
    facts = (clear, in_view, similar, visible, lasting, doubtful, confident, probable, detection.redetected, at_limit)
    evidence = Evidence(*facts)
    results = searched_results(state.boxes(), detection, evidence, confidence)
    counts = {"occluded_frames": occluded_frames, "doubtful_frames": doubtful_frames}
    return state.replace(updates=state.updates + 1, view=views, **counts), results


def detect(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any]) -> Array:
    """Response maps of N targets at S scales: float32 (N, S, R, R) on the backend (steps 2 to 4).

    frames: {source: frame as `Backend.frame` returns it}, here and in all functions after step 1.
    """
    places = search_places(pipeline, state, frames, pipeline.search_regions(state.size))
    return pipeline.responses(places, state.filters.arrays)[0]


def centred_responses(pipeline: Pipeline, state: TrackState, frame: Any) -> NDArray[np.float32]:
    """Response maps of N targets at scale 1 in one frame: float32 (N, R, R), host. Pixel [R/2, R/2] is shift zero.

    They are those of the filters, without the response of the colours. The state does not change. frame: as for `init`.
    Raises InvalidFrameError.
    """
    one_source = state.replace(source=np.zeros(len(state), dtype=np.intp))
    maps = pipeline.backend.to_host(detect(pipeline, one_source, {0: pipeline.backend.frame(frame)}))
    return np.fft.fftshift(maps[:, len(pipeline.scales) // 2], axes=(1, 2))


def update_filters(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], rows: NDArray[np.intp]
) -> TrackState:
    """The state with the filters of `rows` blended towards the present appearance of their targets (step 6)."""
    if not len(rows):
        return state
    part = state.take(rows)
    places = target_places(pipeline, part, frames, pipeline.search_regions(part.size))
    return state.put(rows, part.replace(filters=part.filters.update(pipeline, places)))
