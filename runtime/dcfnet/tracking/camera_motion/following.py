"""The search at positions that moved with the scene, and what the motion of the camera changes in the state.

If the camera shakes, a target moves in the frame with the scene. If the camera follows the target, the scene moves and
the target stays in place. So the first search is in place. If its response is weak, the tracker also searches at the
position that moved with the scene, and the higher peak counts (docs/tuning.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dcfnet.devices.backend import Pairs
from dcfnet.io.texture import Texture
from dcfnet.tracking.camera_motion.scenes import read_scenes, translations
from dcfnet.tracking.geometry import any_true, limit_centre, select_rows, to_centre_grid
from dcfnet.tracking.light import weak
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import not_found

LEAST_MOTION = 0.1  # target sizes: after a smaller motion both positions have nearly the same search region
POSITIONS = ("centre", "confident_centre", "sure_centre", "candidate_centre")


def follow_camera(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any]
) -> tuple[TrackState, Pairs, Texture | None]:
    """The state of N targets with the scenes of these frames, and their centres moved with the scene, (N, 2).

    The third value is the texture around the centres of the state; None if it is not known yet.
    frames: by source, as `Backend.frame` returns them. The motion is measured from the frame in which each target was
    last searched for. The centres of the state stay in place, where the first search is, unless the region there has no
    texture. The other positions of the state have moved with the scene.
    """
    if not pipeline.config.camera_motion:
        return state, state.centre, None
    scenes = read_scenes(pipeline, frames, state.source)
    motion = translations(state.scenes, scenes) * state.frame_size
    moved = {name: limit_centre(to_centre_grid(getattr(state, name) + motion), state.frame_size) for name in POSITIONS}
    centres = moved["centre"]
    regions = pipeline.search_regions(state.size)
    texture = pipeline.backend.check_texture(frames, state.source, state.centre, regions)()
    in_place = bool(texture.textured.all())
    moved["centre"] = select_rows(texture.textured, state.centre, centres)
    return state.replace(scenes=scenes, **moved), centres, texture if in_place else None


def search_moved(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], detection: Detection, centres: Pairs
) -> tuple[TrackState, Detection]:
    """Searches also at the centres that moved with the scene, (N, 2), for targets whose response in place is weak.

    The higher peak counts. Returns the state with the centres of the searches that count, and their detections. A
    target that is found at neither position moves with the scene, because it is probably hidden there.
    """
    if not pipeline.config.camera_motion:
        return state, detection
    moved = any_true(np.abs(centres - state.centre) > LEAST_MOTION * state.size)
    rows, centre = np.flatnonzero(moved & weak(state, detection)), state.centre
    if len(rows):
        part = state.take(rows).replace(centre=centres[rows])
        found = search(pipeline, part, frames, pipeline.search_regions(part.size))()
        detection, kept = detection.with_higher(rows, found)
        centre = centre.copy()
        centre[kept] = centres[kept]
    missing = not_found(pipeline, state, detection)
    return state.replace(centre=select_rows(missing, centres, centre)), detection
