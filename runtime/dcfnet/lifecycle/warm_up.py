"""Work that would delay the first frames, done in advance: memory, kernels, graph capture, calls of the network."""

from __future__ import annotations

import numpy as np

from dcfnet.io.frame import Frame
from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init, step, update_filters


def warm_up(pipeline: Pipeline, capacity: int | None = None) -> None:
    """Tracks a target of noise for two frames, updates its filter, and forgets it.

    capacity: see `TrackState.concatenate`.
    """
    with pipeline.backend.guarded():
        frame, first = noise_target(pipeline)
        state = TrackState.concatenate([first], capacity)
        for given in (frame, pipeline.backend.asarray(frame)):  # once from the host, once from the device
            state, _ = step(pipeline, state, {0: given})
        state = update_filters(pipeline, state, {0: pipeline.backend.frame(frame)}, np.arange(1))
        state.filters.release()


def noise_target(pipeline: Pipeline) -> tuple[Frame, TrackState]:
    """A frame of noise, uint8 (96, 96, 3), and the state of one target in it. Release its filters after use."""
    frame = np.random.default_rng(0).integers(0, 256, size=(96, 96, 3), dtype=np.uint8)
    return frame, init(pipeline, {0: frame}, [Box(32, 32, 32, 32)], [0])
