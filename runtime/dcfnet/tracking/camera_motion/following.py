"""Search positions that follow the motion of the camera, and the search at the position without this motion.

If the camera shakes, a target moves in the frame with the scene. If the camera follows the target, the scene moves and
the target stays in place. So a weak response at the position that moved with the scene is compared with the response
at the position of the frame before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.camera_motion.scenes import read_scenes, translations
from dcfnet.tracking.geometry import any_true, limit_centre, to_centre_grid
from dcfnet.tracking.light import weak
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState

LEAST_MOTION = 0.1  # target sizes: after a smaller motion both positions have nearly the same search region
POSITIONS = ("centre", "confident_centre", "sure_centre", "candidate_centre")


def follow_camera(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, Pairs]:
    """The state of N targets whose positions moved with the scene, and their centres before, (N, 2), frame pixels.

    frames: as `Backend.frame` returns them. The motion is measured from the frame in which each target was last
    searched for. Also the position of a lost target moves, because the target is hidden somewhere in the scene.
    """
    if not pipeline.config.camera_motion:
        return state, state.centre
    scenes = read_scenes(pipeline, frames, state.source)
    motion = translations(state.scenes, scenes) * state.frame_size
    moved = {name: limit_centre(to_centre_grid(getattr(state, name) + motion), state.frame_size) for name in POSITIONS}
    return state.replace(scenes=scenes, **moved), state.centre


def search_in_place(
    pipeline: Pipeline, state: TrackState, frames: Sequence[Any], detection: Detection, centres: Pairs
) -> tuple[TrackState, Detection]:
    """Searches at the centres before the motion (N, 2) where the response at the moved ones is weak.

    The higher peak counts. Returns the state with the centres of these searches, and their detections.
    """
    if not pipeline.config.camera_motion:
        return state, detection
    moved = any_true(np.abs(centres - state.centre) > LEAST_MOTION * state.size)
    rows = np.flatnonzero(moved & weak(state, detection))
    if not len(rows):  # nearly always
        return state, detection
    part = state.take(rows).replace(centre=centres[rows])
    found = search(pipeline, part, frames, pipeline.search_regions(part.size))()
    higher = found.peak.value > detection.peak.value[rows]
    kept, position = rows[higher], state.centre.copy()
    position[kept] = centres[kept]
    return state.replace(centre=position), detection.put(kept, found.take(higher))
