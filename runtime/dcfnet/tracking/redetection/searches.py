"""Searches for lost targets: their clock, and the strongest of several detections."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection, search
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.typical_response import relative_strength

STRONGER = 1.5  # multiple of the present strength that a detection elsewhere must reach


class SearchClock:
    """Measures the searches of one frame. limit: ms, for all of them; 0 for no limit."""

    def __init__(self, limit: float) -> None:
        self._limit, self._longest = limit / 1000, 0.0
        self._start = self._last = time.perf_counter()

    def searched(self) -> None:
        """A search ended."""
        now = time.perf_counter()
        self._longest, self._last = max(self._longest, now - self._last), now

    def has_time(self) -> bool:
        """Whether one more search, as long as the longest so far, ends within the limit."""
        return not self._limit or self._last - self._start + self._longest <= self._limit


def stronger(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], best: Detection | None, centres: Pairs
) -> Detection:
    """The detections of searches at these centres (N, 2) where they are stronger than `best`, or all without `best`."""
    there = state.replace(centre=centres)
    found = search(pipeline, there, frames, pipeline.search_regions(there.size))()
    if best is None:
        return found
    (rows,) = (relative_strength(state, found) > relative_strength(state, best)).nonzero()
    return best.put(rows, found.take(rows))


def with_redetected(detection: Detection, rows: NDArray[np.intp], found: Detection) -> Detection:
    """The detections, those of `rows` replaced by others, which are marked as redetected."""
    return detection.put(rows, dataclasses.replace(found, redetected=np.ones(len(rows), np.bool_)))
