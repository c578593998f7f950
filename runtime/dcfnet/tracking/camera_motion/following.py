"""Search positions that follow the motion of the camera, and the search at the positions without this motion.

If the camera shakes, a target moves in the frame with the scene. If the camera follows the target, the scene moves and
the target stays in place. So the tracker searches at both positions, and the higher peak counts (docs/tuning.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.camera_motion.scenes import read_scenes, translations
from dcfnet.tracking.geometry import any_true, limit_centre, select_rows, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import not_found

LEAST_MOTION = 0.1  # target sizes: after a smaller motion both positions have nearly the same search region
POSITIONS = ("centre", "confident_centre", "sure_centre", "candidate_centre")


def follow_camera(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, Pairs]:
    """The state of N targets whose positions moved with the scene, and their centres before, (N, 2), frame pixels.

    frames: as `Backend.frame` returns them. The motion is measured from the frame in which each target was last
    searched for. A centre stays in place if the region around the new one has no texture: nothing can be found there.
    """
    before = state.centre
    if not pipeline.config.camera_motion:
        return state, before
    scenes = read_scenes(pipeline, frames, state.source)
    motion = translations(state.scenes, scenes) * state.frame_size
    moved = {name: limit_centre(to_centre_grid(getattr(state, name) + motion), state.frame_size) for name in POSITIONS}
    regions = pipeline.search_regions(state.size)
    textured = pipeline.backend.check_texture(frames, state.source, moved["centre"], regions)().textured
    moved["centre"] = select_rows(textured, moved["centre"], before)
    return state.replace(scenes=scenes, **moved), before


def search_in_place(
    pipeline: Pipeline, state: TrackState, frames: Sequence[Any], detection: Detection, before: Pairs
) -> tuple[TrackState, Detection]:
    """Searches for N targets also at their centres before the motion, (N, 2). The higher peak counts.

    Returns the state with the centres of the searches that count, and their detections. A target that is found at
    neither position is still at the one that moved with the scene: it is probably hidden there.
    """
    if not pipeline.config.camera_motion:
        return state, detection
    rows = np.flatnonzero(any_true(np.abs(before - state.centre) > LEAST_MOTION * state.size))
    if not len(rows):
        return state, detection
    part = state.take(rows).replace(centre=before[rows])
    found = search(pipeline, part, frames, pipeline.search_regions(part.size))()
    higher = (found.peak.value > detection.peak.value[rows]) & ~not_found(pipeline, part, found)
    kept, centre = rows[higher], state.centre.copy()
    centre[kept] = before[kept]
    return state.replace(centre=centre), detection.put(kept, found.take(higher))
