"""From frames to boxes: the six steps of a frame, as two functions over N targets.

    1  frame     checked, and put where the backend takes it: what is no frame, or shows nothing, moves no state
    2  patches   all targets x scales cut out in one call, mean taken off
    3  search_f  forward(backbone(patches)): the transform of fourier.py, the cosine window within
    4  response  inverse(respond(search_f, filter_f)), its peaks to the host: the only sync
    5  geometry  signed shift in the response -> in the patch -> in the frame; scale; size; centre; where the target has
                 moved far, 2 to 5 once more from there
    6  learn     crop at the new place, spectrum, blend (eq. 13), solve

One target is N = 1, not another path; several cameras are one batch, because every target carries its source. A
preset may learn in some frames only: which, is counted per target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.admission import admit, follow_resolution, rejections
from dcfnet.backend import Array, Where
from dcfnet.geometry import Box, Pairs, limit_centre, limit_size
from dcfnet.pipeline import Pipeline
from dcfnet.pixels import frame_size
from dcfnet.response import RESPONSE_SIDE, Peak
from dcfnet.result import Reason, Result
from dcfnet.state import TrackState
from dcfnet.verdict import Findings, lost, mark, results


def init(pipeline: Pipeline, frames: Sequence[Any], boxes: Sequence[Box], sources: Sequence[int]) -> TrackState:
    """State of N targets, each learnt from its box in frames[source]. Boxes must have been checked.

    Raises InvalidFrameError.
    """
    frames = [pipeline.backend.frame(frame) for frame in frames]
    source = np.asarray(sources, dtype=np.intp)
    centre = np.array([box.centre for box in boxes])
    size = np.array([box.size for box in boxes])
    sizes = np.array([frame_size(frames[i]) for i in source], dtype=np.float64)
    where = pipeline.places(frames, source, centre, pipeline.regions(size))
    filters = pipeline.backend.remember(pipeline, pipeline.first_lesson(where))
    return TrackState(centre, size, size.copy(), sizes, source, np.zeros_like(source), filters)


def step(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, list[Result]]:
    """One frame of every source: the state after it, and a result per target. Consumes the state.

    frames[source] may be anything: what is no frame, or shows nothing, gives LOST with the reason and moves no bit of
    the target's state.
    """
    admitted = admit(pipeline.backend, frames, state.source)
    seen, changed = follow_resolution(state, admitted)
    rejected = rejections(pipeline.backend, pipeline.regions(seen.size), seen, admitted)
    said = [lost(box, reason) for box, reason in zip(seen.boxes(), rejected, strict=True)]
    rows = np.flatnonzero([reason is None for reason in rejected])
    if not len(rows):
        return state, said
    moved, found = _track(pipeline, seen.take(rows), admitted)
    for row, result in zip(rows, found, strict=True):
        said[row] = mark(result, Reason.RESOLUTION_CHANGED) if changed[row] else result
    return state.put(rows, moved), said


def _track(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, list[Result]]:
    """Steps 2 to 6 for targets whose frames show something."""
    config = pipeline.config
    seen = _look_again(pipeline, state, frames, _look(pipeline, state, frames))
    inside = limit_centre(seen.centre, state.frame_size)
    limited = limit_size(seen.size, state.initial_size, state.frame_size, (config.min_scale, config.max_scale))
    in_view = (inside == seen.centre).all(axis=1)
    clear = (seen.peak.psr >= config.min_psr) & (seen.peak.psr > 0)
    # A response that shows no target moves nothing; a target that leaves is followed to the border.
    state = state.replace(
        centre=np.where(clear[:, None], inside, state.centre),
        size=np.where((clear & in_view)[:, None], limited, state.size),
    )
    lesson = state.updates % config.learn_every == config.learn_every - 1
    state = learn(pipeline, state, frames, np.flatnonzero(clear & in_view & lesson))
    # Two looks are two chances for something else to look clear: who was looked for twice must have been sure twice.
    findings = Findings(clear, in_view, seen.psr >= config.sure_psr, (limited != seen.size).any(axis=1))
    return state.replace(updates=state.updates + 1), results(state, seen.peak, findings)


@dataclass(frozen=True)
class Sighting:
    """Where N targets are seen. centre, size: (N, 2) each, frame pixels. psr: (N,), the lowest of the looks at each."""

    peak: Peak
    centre: Pairs
    size: Pairs
    psr: NDArray[np.float64]


def _look(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Sighting:
    """Where N targets are seen from where they were."""
    winner, peak = state.filters.detect(pipeline, _search_places(pipeline, state, frames))
    return Sighting(peak, *_move(pipeline, state, peak.shift, winner), peak.psr)


def _look_again(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], first: Sighting) -> Sighting:
    """The first look; of targets that have moved far what is seen from there, where that is the higher peak.

    Towards the border of the search region the cosine window leaves little of a target, so that a peak there is low
    and off its place.
    """
    share = np.abs(first.centre - state.centre) / state.size
    far = np.flatnonzero((share > pipeline.config.look_again).any(axis=1))
    if not len(far):
        return first
    there = state.replace(centre=limit_centre(first.centre, state.frame_size)).take(far)
    second = _look(pipeline, there, frames)
    higher = second.peak.value > first.peak.value[far]
    rows, (centre, size, psr) = far[higher], (values.copy() for values in (first.centre, first.size, first.psr))
    centre[rows], size[rows] = second.centre[higher], second.size[higher]
    psr[far] = np.minimum(psr[far], second.psr)
    return Sighting(first.peak.put(rows, second.peak.take(higher)), centre, size, psr)


def detect(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Array:
    """What the filters of N targets answer at S scales: float32 (N, S, R, R) on the backend (steps 2 to 4).

    frames: as `Backend.frame` gives them, and so for all that follows step 1.
    """
    return pipeline.responses(_search_places(pipeline, state, frames), state.filters.arrays)[0]


def _search_places(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Where:
    """Where the search patches of N targets at S scales lie, N x S of them."""
    scales = len(pipeline.scales)
    regions = pipeline.regions(state.size)[:, None] * pipeline.scales[:, None]  # (N, S, 2)
    sources, centres = np.repeat(state.source, scales), np.repeat(state.centre, scales, axis=0)
    return pipeline.places(frames, sources, centres, regions.reshape(-1, 2))


def learn(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], rows: NDArray[np.intp]) -> TrackState:
    """The state with the filters of `rows` blended towards their targets' present look."""
    if not len(rows):
        return state
    part = state.take(rows)
    where = pipeline.places(frames, part.source, part.centre, pipeline.regions(part.size))
    return state.put(rows, part.replace(filters=part.filters.learn(pipeline, where)))


def _move(
    pipeline: Pipeline, state: TrackState, shift_in_response: Pairs, winner: NDArray[np.intp]
) -> tuple[Pairs, Pairs]:
    """Centre and size, (N, 2) each, frame pixels, that the peaks speak of (step 5)."""
    scale = pipeline.scales[winner][:, None]
    region_in_frame = pipeline.regions(state.size) * scale
    shift_in_frame = shift_in_response / RESPONSE_SIDE * region_in_frame
    return state.centre + shift_in_frame, state.size * scale
