"""The templates that new filters learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Angles, Light, Pairs
from dcfnet.devices.filters import PatchPlaces
from dcfnet.tracking.pipeline import Pipeline


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
