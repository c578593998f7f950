"""What a first frame would wait for, done beforehand: memory, kernels, captures, and the network's first calls."""

from __future__ import annotations

import numpy as np

from dcfnet.geometry import Box
from dcfnet.pipeline import Pipeline
from dcfnet.state import TrackState
from dcfnet.steps import init, learn, step


def warm_up(pipeline: Pipeline, capacity: int | None = None) -> None:
    """Follows a target of noise for two frames, learns it, and forgets it. capacity: as of `TrackState.joined`."""
    frame = np.random.default_rng(0).integers(0, 256, size=(96, 96, 3), dtype=np.uint8)
    with pipeline.backend.guarded():
        state = TrackState.joined([init(pipeline, [frame], [Box(32, 32, 32, 32)], [0])], capacity)
        for given in (frame, pipeline.backend.asarray(frame)):  # from the host, and where the arrays lie
            state, _ = step(pipeline, state, [given])
        learn(pipeline, state, [pipeline.backend.frame(frame)], np.arange(1))
