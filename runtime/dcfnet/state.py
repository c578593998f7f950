"""What is remembered of N targets between two frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array
from dcfnet.geometry import Box


@dataclass(frozen=True)
class TrackState:
    """N targets; the target axis comes first everywhere.

    On the host, float64, frame pixels: centre (N, 2), size (N, 2), initial_size (N, 2), frame_size (N, 2), all
    (x, y) or (width, height); source (N,), index of each target's frame; updates (N,), frames it was looked for in.
    On the backend, as in fourier.py: numerator, filter_f and focused_f complex64 (N, C, K, B+1), denominator float32
    (N, 1, K, B+1); what they are, `Pipeline.solve` says.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    initial_size: NDArray[np.float64]
    frame_size: NDArray[np.float64]
    source: NDArray[np.intp]
    updates: NDArray[np.intp]
    numerator: Array
    denominator: Array
    filter_f: Array
    focused_f: Array

    def __len__(self) -> int:
        return len(self.centre)

    def replace(self, **changes: Array) -> TrackState:
        """A copy with some arrays replaced."""
        return dataclasses.replace(self, **changes)

    def take(self, rows: NDArray[np.intp]) -> TrackState:
        """The targets of `rows`; the state itself when these are all of them, in order."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        return TrackState(**{name: array[rows] for name, array in self._arrays().items()})

    def put(self, rows: NDArray[np.intp], part: TrackState) -> TrackState:
        """The state with the targets of `rows` replaced by `part`, which `take` gave and a step moved on."""
        if np.array_equal(rows, np.arange(len(self))):
            return part
        changed = {}
        for name, array in self._arrays().items():
            changed[name] = array.copy()
            changed[name][rows] = getattr(part, name)
        return TrackState(**changed)

    @classmethod
    def joined(cls, parts: Sequence[TrackState]) -> TrackState:
        """The targets of all parts, in order; a single part itself."""
        if len(parts) == 1:
            return parts[0]
        # NumPy's function hands over to the concatenation of whatever device the arrays lie on
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0]._arrays()})

    def boxes(self) -> list[Box]:
        """Target boxes, frame pixels."""
        return [Box.of(centre, size) for centre, size in zip(self.centre, self.size, strict=True)]

    def _arrays(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
