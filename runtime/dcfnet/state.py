"""What is remembered of N targets between two frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.filters import Filters
from dcfnet.geometry import Box, Pairs


@dataclass(frozen=True)
class TrackState:
    """N targets; the target axis comes first everywhere.

    On the host, float64, frame pixels: centre (N, 2), size (N, 2), initial_size (N, 2), frame_size (N, 2), all (x, y)
    or (width, height); limits (N, 2), of the size, as `size_limits` gives them; source (N,), index of each target's
    frame; updates (N,), frames it was looked for in.
    Of the frames in which it was surely seen: sure_centre and sure_size (N, 2), in the last one; usual (N, 2), running
    means of the peak-to-sidelobe ratio and of the peak, 0 before the first; doubtful (N,), how many have gone by since.
    On the backend: filters, what is learnt of the targets.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    initial_size: NDArray[np.float64]
    frame_size: NDArray[np.float64]
    limits: NDArray[np.float64]
    source: NDArray[np.intp]
    updates: NDArray[np.intp]
    sure_centre: NDArray[np.float64]
    sure_size: NDArray[np.float64]
    usual: NDArray[np.float64]
    doubtful: NDArray[np.intp]
    filters: Filters

    @classmethod
    def begun(
        cls, centre: Pairs, size: Pairs, frame_size: Pairs, limits: Pairs, source: NDArray[np.intp], filters: Filters
    ) -> TrackState:
        """The state of targets that were given just now."""
        none, usual = np.zeros_like(source), np.zeros_like(centre)
        return cls(centre, size, size, frame_size, limits, source, none, centre, size, usual, none, filters)

    def __len__(self) -> int:
        return len(self.centre)

    def replace(self, **changes: Any) -> TrackState:
        """A copy with some arrays replaced."""
        assert changes.keys() <= vars(self).keys(), changes.keys()
        copy = object.__new__(type(self))  # dataclasses.replace takes six times as long
        vars(copy).update(vars(self), **changes)
        return copy

    def take(self, rows: NDArray[np.intp]) -> TrackState:
        """The targets of `rows`; the state itself when these are all of them, in order."""
        if self._are_all(rows):
            return self
        taken = {name: array[rows] for name, array in self._arrays().items()}
        return TrackState(**taken, filters=self.filters.take(rows))

    def put(self, rows: NDArray[np.intp], part: TrackState) -> TrackState:
        """The state with the targets of `rows` replaced by `part`, which `take` gave and a step moved on."""
        if self._are_all(rows):
            return part
        changed = {}
        for name, array in self._arrays().items():
            changed[name] = array.copy()
            changed[name][rows] = getattr(part, name)
        return TrackState(**changed, filters=self.filters.put(rows, part.filters))

    @classmethod
    def joined(cls, parts: Sequence[TrackState], capacity: int | None = None) -> TrackState:
        """The targets of all parts, in order. capacity: of targets, see `Filters.joined`."""
        first, *others = parts
        arrays = {name: np.concatenate([part._arrays()[name] for part in parts]) for name in first._arrays()}
        return cls(**arrays, filters=first.filters.joined([other.filters for other in others], capacity))

    def boxes(self) -> list[Box]:
        """Target boxes, frame pixels."""
        corner = self.centre - (self.size - 1) / 2
        return [Box(*box) for box in np.concatenate([corner, self.size], axis=1).tolist()]

    def _are_all(self, rows: NDArray[np.intp]) -> bool:
        """Whether the rows are all targets, in order."""
        return len(rows) == len(self) and (len(rows) == 1 or bool((rows[1:] > rows[:-1]).all()))  # and none is twice

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """What is on the host, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "filters"}
