"""Work that would delay the first frames, done in advance: memory, kernels, graph capture, calls of the network."""

from __future__ import annotations

import numpy as np

from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init, step, update_filters


def warm_up(pipeline: Pipeline, capacity: int | None = None) -> None:
    """Tracks a target of noise for two frames, updates its filter, and forgets it.

    capacity: see `TrackState.concatenate`.
    """
    frame = np.random.default_rng(0).integers(0, 256, size=(96, 96, 3), dtype=np.uint8)
    with pipeline.backend.guarded():
        state = TrackState.concatenate([init(pipeline, [frame], [Box(32, 32, 32, 32)], [0])], capacity)
        for given in (frame, pipeline.backend.asarray(frame)):  # once from the host, once from the device
            state, _ = step(pipeline, state, [given])
        state = update_filters(pipeline, state, [pipeline.backend.frame(frame)], np.arange(1))
        state.filters.release()
