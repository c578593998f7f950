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
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState

# Peaks of turned patches are multiplied by it, so that noise turns no target (docs/tuning.md).
TURN_PENALTY = 0.97


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


def search_turned(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], detection: Detection
) -> tuple[TrackState, Detection]:
    """Searches also with patches that are turned by `rotation_step` more and less than the angles of N targets.

    The highest peak counts. A turned one must also be clear (`confident_psr`). Returns the state with the angles of the
    searches that count, and their detections. The boxes stay upright and keep their aspect ratio.
    """
    step = math.radians(pipeline.config.rotation_step)
    if not step:
        return state, detection
    highest, angle, regions = detection.peak.value.copy(), state.angle.copy(), pipeline.search_regions(state.size)
    for turn in (step, -step):
        there = state.replace(angle=np.remainder(state.angle + turn + np.pi, 2 * np.pi) - np.pi)
        found = search(pipeline, there, frames, regions)()
        peaks = found.peak.value * TURN_PENALTY
        (rows,) = ((peaks > highest) & (found.peak.psr >= pipeline.config.confident_psr)).nonzero()
        detection, highest[rows], angle[rows] = detection.put(rows, found.take(rows)), peaks[rows], there.angle[rows]
    return state.replace(angle=angle), detection
