"""Redetection: lost targets are also searched for at other positions, near the last confident one and anywhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.geometry import limit_centre, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import occluded, relative_strength, unlike
from dcfnet.tracking.view import Views, is_cut

# Distance of two redetection positions / search region. It is below 1 because the cosine window hides the outer part.
REDETECTION_STEP = 0.4
# A redetected target must reach these shares of its typical PSR and peak (docs/tuning.md).
REDETECTED_PSR, REDETECTED_PEAK = 0.5, 0.75
# With `min_strength`: it must also reach this share of its typical strength, and this multiple of the present strength.
REDETECTED_STRENGTH, STRONGER = 0.3, 1.5
# After a camera cut: the most positions of one frame. This is the whole frame, unless the target is small in it.
PLACES_AFTER_CUT = 64


def redetect(
    pipeline: Pipeline, state: TrackState, frames: Sequence[Any], detection: Detection, views: Views
) -> tuple[TrackState, Detection]:
    """Searches for lost and occluded targets at more positions. Returns the detections, replaced where it succeeded.

    Only targets without a confident detection in the previous frame are searched, at `redetection_patches` positions
    per frame: the first is on rings around the last confident position, the others are anywhere in the frame. A search
    succeeds if its response is close to the target's typical one. With `redetection_ms` the positions end when the next
    one would take too long; the next frame goes on with those that are left. The first position is always searched.
    After a camera cut, all lost and occluded targets are searched in the whole frame. views: of their frames.
    """
    config = pipeline.config
    if not config.redetection_rings:
        return state, detection
    if not (state.frames_since_confident.any() or config.searches_after_cuts()):  # nearly always
        return state, detection
    clock = SearchClock(config.redetection_ms)
    lost = (detection.peak.psr < config.min_psr) | unlike(pipeline, state, detection)
    rows = np.flatnonzero(lost | occluded(pipeline, state, detection))
    if config.searches_after_cuts() and len(rows):
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
        there = part.replace(centre=_centres(pipeline, part, turn), size=part.confident_size)
        found = search(pipeline, there, frames, pipeline.search_regions(there.size))()
        accepted = _is_target(pipeline, part, found, detection.take(rows))
        if accepted.any():
            detection = _with_redetected(detection, rows[accepted], found.take(accepted))
        rows = rows[~accepted]
        clock.searched()
    return state.replace(skipped=skipped), detection


def _search_whole_frame(
    pipeline: Pipeline,
    state: TrackState,
    frames: Sequence[Any],
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
    part, best = state.take(rows), detection.take(rows)
    part = part.replace(size=part.confident_size)
    places = _places_in_frame(pipeline, part)
    for turn in range(min(PLACES_AFTER_CUT, max(map(len, places)))):
        if turn and not clock.has_time():
            break
        offsets = np.array([each[turn % len(each)] for each in places])
        best = _stronger(pipeline, part, frames, best, _at_offsets(pipeline, part, offsets), first=turn == 0)
        clock.searched()
    best = _stronger(pipeline, part, frames, best, limit_centre(best.centre, part.frame_size))
    accepted = _is_target(pipeline, part, best, detection.take(rows))
    return _with_redetected(detection, rows[accepted], best.take(accepted))


def _with_redetected(detection: Detection, rows: NDArray[np.intp], found: Detection) -> Detection:
    """The detections, those of `rows` replaced by others, which are marked as redetected."""
    return detection.put(rows, dataclasses.replace(found, redetected=np.ones(len(rows), np.bool_)))


def _stronger(
    pipeline: Pipeline, state: TrackState, frames: Sequence[Any], best: Detection, centres: Pairs, first: bool = False
) -> Detection:
    """The detections of searches at these centres (N, 2) where they are stronger than `best`, or all if `first`."""
    there = state.replace(centre=centres)
    found = search(pipeline, there, frames, pipeline.search_regions(there.size))()
    stronger = relative_strength(state, found) > relative_strength(state, best)
    (rows,) = (stronger | first).nonzero()
    return best.put(rows, found.take(rows))


class SearchClock:
    """Measures the searches of one frame. limit: ms, for all of them; 0 for no limit."""

    def __init__(self, limit: float) -> None:
        self._limit, self._longest = limit / 1000, 0.0
        self._start = self._last = time.perf_counter()

    def searched(self) -> None:
        """A search ended."""
        now = time.perf_counter()
        self._longest, self._last = max(self._longest, now - self._last), now

    def has_time(self) -> bool:
        """Whether one more search, as long as the longest so far, ends within the limit."""
        return not self._limit or self._last - self._start + self._longest <= self._limit


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


def _centres(pipeline: Pipeline, state: TrackState, turn: int) -> Pairs:
    """The position of this frame and turn at which each of N targets is searched for, (N, 2), frame pixels."""
    frames, config = state.frames_since_confident - 1, pipeline.config
    if turn == 0:
        near = ring_offsets(config.redetection_rings)
        offsets = near[frames % len(near)]
    else:
        visited = frames * (config.redetection_patches - 1) + turn - 1 - state.skipped
        places = _places_in_frame(pipeline, state)
        offsets = np.array([each[index % len(each)] for each, index in zip(places, visited.tolist(), strict=True)])
    return _at_offsets(pipeline, state, offsets)


def _at_offsets(pipeline: Pipeline, state: TrackState, offsets: NDArray[np.float64]) -> Pairs:
    """The positions at these offsets (N, 2), in steps from the last confident ones; (N, 2), frame pixels."""
    step = REDETECTION_STEP * pipeline.search_regions(state.confident_size)
    return limit_centre(to_centre_grid(state.confident_centre + offsets * step), state.frame_size)


def _places_in_frame(pipeline: Pipeline, state: TrackState) -> list[NDArray[np.float64]]:
    """The results of `frame_offsets` for N targets."""
    step, last = REDETECTION_STEP * pipeline.search_regions(state.confident_size), state.frame_size - 1
    to_border = np.concatenate([state.confident_centre // step, (last - state.confident_centre) // step], axis=1)
    return [frame_offsets(*border) for border in to_border.astype(int).tolist()]


@lru_cache(maxsize=16)
def ring_offsets(rings: int) -> NDArray[np.float64]:
    """Positions on rings, (P, 2), (x, y) in steps: the middle, then each ring, opposite sides in turn."""
    places = [(0.0, 0.0)]
    for ring in range(1, rings + 1):
        for angle in np.arange(4 * ring) * np.pi / (4 * ring):
            x, y = np.cos(angle), np.sin(angle)
            distance = ring / max(abs(x), abs(y))  # the ring is a square
            places += [(distance * x, distance * y), (-distance * x, -distance * y)]
    return np.array(places)


@lru_cache(maxsize=64)
def frame_offsets(left: int, top: int, right: int, bottom: int) -> NDArray[np.float64]:
    """Positions on a grid over the whole frame, (P, 2), (x, y) in steps, the nearest first.

    Arguments: whole steps from the last confident position to each border of the frame.
    """
    x, y = np.meshgrid(np.arange(-max(left, 0), max(right, 0) + 1.0), np.arange(-max(top, 0), max(bottom, 0) + 1.0))
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    nearest: NDArray[np.float64] = places[np.argsort(np.abs(places).max(axis=1), kind="stable")]
    return nearest
