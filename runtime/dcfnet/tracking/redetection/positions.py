"""Positions at which lost targets are searched for: on rings around the last confident one, and in the whole frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.geometry import limit_centre, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState

# Distance of two redetection positions / search region. It is below 1 because the cosine window hides the outer part.
REDETECTION_STEP = 0.4


def centres_of_turn(pipeline: Pipeline, state: TrackState, turn: int) -> Pairs:
    """The position of this frame and turn at which each of N targets is searched for, (N, 2), frame pixels."""
    frames, config = state.frames_since_confident - 1, pipeline.config
    if turn == 0:
        near = ring_offsets(config.redetection_rings)
        offsets = near[frames % len(near)]
    else:
        return centres_in_frame(pipeline, state, frames * (config.redetection_patches - 1) + turn - 1 - state.skipped)
    return _at_offsets(pipeline, state, offsets)


def centres_in_frame(pipeline: Pipeline, state: TrackState, index: NDArray[np.intp]) -> Pairs:
    """Position number `index` (N,) of the grid over the whole frame, of each of N targets; (N, 2), frame pixels.

    The positions are numbered from the nearest one on; after the last one the first one follows.
    """
    places = places_in_frame(pipeline, state)
    offsets = np.array([each[number % len(each)] for each, number in zip(places, index.tolist(), strict=True)])
    return _at_offsets(pipeline, state, offsets)


def _at_offsets(pipeline: Pipeline, state: TrackState, offsets: NDArray[np.float64]) -> Pairs:
    """The positions at these offsets (N, 2), in steps from the last confident ones; (N, 2), frame pixels."""
    step = REDETECTION_STEP * pipeline.search_regions(state.confident_size)
    return limit_centre(to_centre_grid(state.confident_centre + offsets * step), state.frame_size)


def places_in_frame(pipeline: Pipeline, state: TrackState) -> list[NDArray[np.float64]]:
    """The results of `frame_offsets` for N targets."""
    step, last = REDETECTION_STEP * pipeline.search_regions(state.confident_size), state.frame_size - 1
    to_border = np.concatenate([state.confident_centre // step, (last - state.confident_centre) // step], axis=1)
    return [frame_offsets(*border) for border in to_border.astype(int).tolist()]


@lru_cache(maxsize=16)
def ring_offsets(rings: int) -> NDArray[np.float64]:
    """Positions on rings, (P, 2), (x, y) in steps: the middle, then each ring, opposite sides in turn."""
    places = [(0.0, 0.0)]
    for ring in range(1, rings + 1):
        for angle in np.arange(4 * ring) * np.pi / (4 * ring):
            x, y = np.cos(angle), np.sin(angle)
            distance = ring / max(abs(x), abs(y))  # the ring is a square
            places += [(distance * x, distance * y), (-distance * x, -distance * y)]
    return np.array(places)


@lru_cache(maxsize=64)
def frame_offsets(left: int, top: int, right: int, bottom: int) -> NDArray[np.float64]:
    """Positions on a grid over the whole frame, (P, 2), (x, y) in steps, the nearest first.

    Arguments: whole steps from the last confident position to each border of the frame.
    """
    x, y = np.meshgrid(np.arange(-max(left, 0), max(right, 0) + 1.0), np.arange(-max(top, 0), max(bottom, 0) + 1.0))
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    nearest: NDArray[np.float64] = places[np.argsort(np.abs(places).max(axis=1), kind="stable")]
    return nearest
