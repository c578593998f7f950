"""Sudden changes of the light: the tracker searches again with pixels in the light that the filter has learnt.

Examples are a jump of the exposure, a lamp that is switched on, and a camera that switches to its night mode. The
factor of the pixels is kept for each target. All later patches of the target are multiplied by it, for searches, for
updates of the filter and for the colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.tracking.decision_rules import LEVEL_CHANGE, LIGHT_LIMIT, LIGHT_STEP, WEAK_RESPONSE
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState


def follow_light(
    pipeline: Pipeline,
    state: TrackState,
    frames: Mapping[int, Any],
    detection: Detection,
    levels: NDArray[np.float64],
) -> tuple[TrackState, Detection]:
    """The state with the light of this frame, and the detections in it. levels: see `Texture`.

    The tracker searches again if the grey level has changed and the response is weak. It keeps the factor and the
    detection of this search if PSR x peak is higher.
    """
    light = matching_light(state, levels)
    ratio = light / state.light
    changed = np.maximum(ratio, 1 / ratio) > LEVEL_CHANGE
    if not changed.any():  # nearly always
        return state, detection
    rows = np.flatnonzero(changed & weak(state, detection))
    if not len(rows):
        return state, detection
    part = state.take(rows).replace(light=light[rows])
    found = search(pipeline, part, frames, pipeline.search_regions(part.size))()
    clearer = strength(found) > strength(detection)[rows]
    kept = rows[clearer]
    lights = state.light.copy()
    lights[kept] = light[kept]
    return state.replace(light=lights), detection.put(kept, found.take(clearer))


def search_in_light(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any]
) -> tuple[TrackState, Detection, NDArray[np.float64]]:
    """Searches for N targets around their centres: the results of `follow_light`, and the grey levels there."""
    regions = pipeline.search_regions(state.size)
    pending = search(pipeline, state, frames, regions)
    levels = pipeline.backend.check_texture(frames, state.source, state.centre, regions)().levels
    return (*follow_light(pipeline, state, frames, pending(), levels), levels)


def matching_light(state: TrackState, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factors that give the regions of N targets their level of the last confident detection, (N,).

    The present factor for a target without such a level, and for a region without light.
    """
    known = (state.level > 0) & (levels > 0)
    factor = np.where(known, state.level / np.where(known, levels, 1.0), state.light)
    limited = np.minimum(np.maximum(factor, 1 / LIGHT_LIMIT), LIGHT_LIMIT)
    stepped: NDArray[np.float64] = np.rint(limited / LIGHT_STEP) * LIGHT_STEP
    return stepped


def weak(state: TrackState, detection: Detection) -> NDArray[np.bool_]:
    """Whether PSR x peak is far below the typical one, bool (N,); true before the first typical value."""
    typical_psr, typical_peak, _ = state.typical.T
    typical = typical_psr * typical_peak
    below: NDArray[np.bool_] = (typical == 0) | (strength(detection) < WEAK_RESPONSE * typical)
    return below


def strength(detection: Detection) -> NDArray[np.float64]:
    """PSR x peak of N detections, (N,)."""
    return detection.peak.psr * detection.peak.value
