"""From frames to boxes: the six steps of a frame, as two functions over N targets.

    1  frame     checked, and put where the backend takes it: what is no frame, or shows nothing, moves no state (a
                 device looks for the target while the host looks for texture)
    2  patches   all targets x scales cut out in one call, mean taken off
    3  search_f  forward(backbone(patches)): the transform of fourier.py, the cosine window within
    4  response  inverse(respond(search_f, filter_f)), its peaks to the host: the one wait for a device
    5  geometry  signed shift in the response -> in the patch -> in the frame; scale; size; centre; where the target has
                 moved far, 2 to 5 once more from there; where it is lost, once more elsewhere
    6  learn     crop at the new place, spectrum, blend (eq. 13), solve

One target is N = 1, not another path; several cameras are one batch, because every target carries its source. A
preset may learn in some frames only: which, is counted per target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.admission import admit, follow_resolution, rejections
from dcfnet.backend import Array
from dcfnet.geometry import Box, both, chosen, either, limit_centre, limit_size, on_grid, size_limits
from dcfnet.pipeline import Pipeline
from dcfnet.pixels import frame_size
from dcfnet.result import Reason, Result
from dcfnet.sighting import Sighting, look, look_again, look_elsewhere, remember, search_places, unlike
from dcfnet.state import TrackState
from dcfnet.verdict import Findings, lost, mark, results


def init(pipeline: Pipeline, frames: Sequence[Any], boxes: Sequence[Box], sources: Sequence[int]) -> TrackState:
    """State of N targets, each learnt from its box in frames[source]. Boxes must have been checked.

    Raises InvalidFrameError.
    """
    frames = [pipeline.backend.frame(frame) for frame in frames]
    source = np.asarray(sources, dtype=np.intp)
    centre = on_grid(np.array([box.centre for box in boxes]))
    size = np.array([box.size for box in boxes])
    sizes = np.array([frame_size(frames[i]) for i in source], dtype=np.float64)
    where = pipeline.places(frames, source, centre, pipeline.regions(size))
    filters = pipeline.backend.remember(pipeline, pipeline.first_lesson(where))
    limits = size_limits(size, sizes, pipeline.config.scale_limits())
    return TrackState.begun(centre, size, sizes, limits, source, filters)


def step(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, list[Result]]:
    """One frame of every source: the state after it, and a result per target. Consumes the state.

    frames[source] may be anything: what is no frame, or shows nothing, gives LOST with the reason and moves no bit of
    the target's state.
    """
    admitted = admit(pipeline.backend, frames, state.source)
    seen, changed = follow_resolution(state, admitted, pipeline.config.scale_limits())
    rejected = rejections(seen, admitted)
    rows = np.array([row for row, reason in enumerate(rejected) if reason is None], dtype=np.intp)
    if not len(rows):
        return state, list(map(lost, seen.boxes(), rejected))
    part = seen.take(rows)
    regions = pipeline.regions(part.size)
    looked = look(pipeline, part, admitted, regions)  # queued: what can be done meanwhile is
    textured = pipeline.backend.textured(admitted, part.source, part.centre, regions)()
    for row in rows[~textured]:
        rejected[row] = Reason.NO_TEXTURE
    if not textured.any():
        return state, list(map(lost, seen.boxes(), rejected))
    shown = None if textured.all() else textured.nonzero()[0]
    sighting = looked(shown)
    if shown is not None:
        part, rows = part.take(shown), rows[shown]
    moved, found = _track(pipeline, part, admitted, sighting)
    if any(changed):
        found = [
            mark(result, Reason.RESOLUTION_CHANGED) if changed[row] else result
            for row, result in zip(rows, found, strict=True)
        ]
    if len(rows) == len(seen):
        return state.put(rows, moved), found
    said = list(map(lost, seen.boxes(), rejected))
    for row, result in zip(rows, found, strict=True):
        said[row] = result
    return state.put(rows, moved), said


def _track(
    pipeline: Pipeline, state: TrackState, frames: Sequence[Any], first: Sighting
) -> tuple[TrackState, list[Result]]:
    """Steps 5 and 6, and 2 to 5 once more where there is need, for targets that have been looked for a first time."""
    config = pipeline.config
    seen = look_again(pipeline, state, frames, first)
    seen = look_elsewhere(pipeline, state, frames, seen)
    inside = limit_centre(seen.centre, state.frame_size)
    limited = limit_size(seen.size, state.initial_size, state.limits)
    clear, alike = (seen.peak.psr >= config.min_psr) & (seen.peak.psr > 0), ~unlike(pipeline, state, seen)
    found, sure = clear & alike, seen.psr >= config.sure_psr
    # What is not found is where it was left: at the border, if it was seen to leave.
    at = chosen(found, seen.centre, state.centre)
    in_view = both((at > 0) & (at < state.frame_size - 1))
    kept = found & in_view
    # A response that shows no target moves nothing; a target that leaves is followed to the border.
    state = state.replace(centre=chosen(found, inside, state.centre), size=chosen(kept, limited, state.size))
    state = remember(state, seen, kept & sure)
    lesson = state.updates % config.learn_every == config.learn_every - 1
    state = learn(pipeline, state, frames, (kept & lesson).nonzero()[0])
    # Two looks are two chances for something else to look clear: who was looked for twice must have been sure twice.
    findings = Findings(clear, alike, in_view, sure, either(limited != seen.size))
    return state.replace(updates=state.updates + 1), results(state, seen.peak, findings)


def detect(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Array:
    """What the filters of N targets answer at S scales: float32 (N, S, R, R) on the backend (steps 2 to 4).

    frames: as `Backend.frame` gives them, and so for all that follows step 1.
    """
    where = search_places(pipeline, state, frames, pipeline.regions(state.size))
    return pipeline.responses(where, state.filters.arrays)[0]


def learn(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], rows: NDArray[np.intp]) -> TrackState:
    """The state with the filters of `rows` blended towards their targets' present look."""
    if not len(rows):
        return state
    part = state.take(rows)
    where = pipeline.places(frames, part.source, part.centre, pipeline.regions(part.size))
    return state.put(rows, part.replace(filters=part.filters.learn(pipeline, where)))
