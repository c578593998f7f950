"""Targets that turn in the image plane: turned templates of new filters, and searches at other angles.

`template_turn` prepares the first filter for small turns. `rotation_step` follows any turn, for example that of a
camera which rolls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Angles, Light, Pairs
from dcfnet.devices.filters import PatchPlaces
from dcfnet.tracking.decision_rules import WEAK_PEAK
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState

# Peaks of turned patches are multiplied by them, so that noise turns no target (docs/tuning.md). The second one counts
# in the TURN_FRAMES searches after a turn, because most targets go on to turn, and for turns back to upright.
FIRST_TURN_PENALTY, NEXT_TURN_PENALTY, TURN_FRAMES = 0.93, 0.97, 6


def first_templates(
    pipeline: Pipeline,
    frames: Mapping[int, Any],
    sources: NDArray[np.intp],
    centres: Pairs,
    sizes: Pairs,
    light: Light = None,
    angle: Angles = None,
) -> PatchPlaces:
    """The places of the patches that new filters of N targets learn: N x T, one for each of `template_turns`.

    sizes: of the targets, (N, 2), frame pixels. Other arguments as for `Backend.patch_places`, (N,) and (N, 2).
    """
    turns = np.array(pipeline.config.template_turns())
    rows = np.repeat(np.arange(len(sources)), len(turns))
    places = (sources[rows], centres[rows], pipeline.search_regions(sizes)[rows])
    angles = np.tile(turns, len(sources)) + (0 if angle is None else angle[rows])
    return pipeline.patch_places(frames, *places, None if light is None else light[rows], angles)


def turning(state: TrackState) -> NDArray[np.bool_]:
    """Whether each of N targets has turned, or seemed to turn in the last frame."""
    moved: NDArray[np.bool_] = (state.angle != 0) | (state.turn_side != 0)
    return moved


def by_host(state: TrackState) -> NDArray[np.bool_]:
    """Whether the host must decide about each of N targets: the kernels know no angles."""
    apart: NDArray[np.bool_] = turning(state) | (state.size_angle != 0)
    return apart


def search_turned(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], detection: Detection
) -> tuple[TrackState, Detection]:
    """Searches also at other angles for those of N targets that are not upright, and for those with a weak peak.

    A target turns by `rotation_step` if the highest peak is that of the same side in two searches, one after the other.
    Returns the state with the angles of the searches that count, and their detections. The boxes stay upright.
    """
    step = math.radians(pipeline.config.rotation_step)
    if not step:
        return state, detection
    weak = detection.peak.value < WEAK_PEAK * state.typical[:, 1]
    rows = np.flatnonzero(weak | turning(state))
    if not len(rows):
        return state, detection
    part = state.take(rows)
    side, found = _highest(pipeline, part, frames, detection.take(rows), step)
    turned = (side != 0) & (side == part.turn_side)
    frames_left = np.where(turned, TURN_FRAMES, np.maximum(part.turn_frames - 1, 0))
    turn_side = np.where((side != 0) | (frames_left == 0), side, part.turn_side)
    angle = np.where(turned, _turned_angle(part, side * step), part.angle)
    state = state.put(rows, part.replace(turn_frames=frames_left, turn_side=turn_side, angle=angle))
    return state, detection.put(rows[turned], found.take(turned))


def _highest(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], detection: Detection, step: float
) -> tuple[NDArray[np.intp], Detection]:
    """The sides of the highest of three peaks, (N,), and their detections. 0: at the present angle; step: radians.

    A turned peak must also be clear (`confident_psr`).
    """
    regions, highest = pipeline.search_regions(state.size), detection.peak.value.copy()
    sides = np.zeros(len(state), np.intp)
    for side in (1, -1):
        angle = _turned_angle(state, side * step)
        found = search(pipeline, state.replace(angle=angle), frames, regions)()
        expected = (state.turn_frames > 0) | (np.abs(angle) < np.abs(state.angle))
        peaks = found.peak.value * np.where(expected, NEXT_TURN_PENALTY, FIRST_TURN_PENALTY)
        (rows,) = ((peaks > highest) & (found.peak.psr >= pipeline.config.confident_psr)).nonzero()
        detection, highest[rows], sides[rows] = detection.put(rows, found.take(rows)), peaks[rows], side
    return sides, detection


def _turned_angle(state: TrackState, turn: NDArray[np.floating[Any]] | float) -> NDArray[np.float64]:
    """The angles of N targets after a turn, radians in [-pi, pi]. Rounded, so that a turn back gives exactly 0."""
    rounded = np.round(np.remainder(state.angle + turn + np.pi, 2 * np.pi) - np.pi, 12)
    return np.clip(rounded, -np.pi, np.pi)  # half a turn is rounded to slightly more
