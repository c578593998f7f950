"""What is learnt of N targets, and the two array programs of a frame upon it: *detect* and *learn*.

Both are pure: arrays of the backend in, arrays out, of shapes that depend on N alone, with no look at a value on the
host. How they are run is the backend's affair: as they are written here, or as it remembers filters (graphs.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array, Where
from dcfnet.response import Peak

if TYPE_CHECKING:
    from dcfnet.pipeline import Pipeline

Rows = NDArray[np.intp]


class Detected(Protocol):
    """What has been found."""

    def __call__(self, rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
        """Winning scales (N,) and peaks, of all targets or those of `rows`. Waits for the device."""


class Filters(Protocol):
    """The filters of N targets, wherever they lie. What is changed may be changed in place: the old is not used again.

    arrays: numerator, filter_f and focused_f complex64 (N, C, K, B+1), denominator float32 (N, 1, K, B+1), as in
    fourier.py; what they are, `Pipeline.solve` says. colours: float32 (N, 2, BINS), histograms as in colours.py, or
    (N, 2, 1) of nothing where they have no say.
    """

    def __len__(self) -> int: ...

    @property
    def arrays(self) -> ArrayFilters: ...

    def take(self, rows: Rows) -> Filters:
        """Those of the targets of `rows`."""

    def put(self, rows: Rows, part: Filters) -> Filters:
        """All of them, those of `rows` replaced by `part`, which came of `take`."""

    def joined(self, others: Sequence[Filters], capacity: int | None) -> Filters:
        """These and the others, in order. capacity: of targets, to lay out room for; None leaves it to the backend."""

    def detect(self, pipeline: Pipeline, where: Where) -> Detected:
        """Looks for the targets in N x S patches. What is returned tells of them, once or never, until they are looked
        for again; what of it can be is queued on a device at once.
        """

    def learn(self, pipeline: Pipeline, where: Where) -> Filters:
        """The filters blended towards the present look of their targets, in N patches. Only queued on a device."""


@dataclass(frozen=True)
class ArrayFilters:
    """Filters as arrays of the backend; see `Filters`."""

    numerator: Array
    denominator: Array
    filter_f: Array
    focused_f: Array
    colours: Array

    def __len__(self) -> int:
        return len(self.numerator)

    @property
    def arrays(self) -> ArrayFilters:
        """Themselves."""
        return self

    def each(self) -> dict[str, Array]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def take(self, rows: Rows) -> ArrayFilters:
        """See `Filters`."""
        return ArrayFilters(**{name: array[rows] for name, array in self.each().items()})

    def put(self, rows: Rows, part: Filters) -> ArrayFilters:
        """See `Filters`."""
        changed = {name: array.copy() for name, array in self.each().items()}
        for name, array in part.arrays.each().items():
            changed[name][rows] = array
        return ArrayFilters(**changed)

    def joined(self, others: Sequence[Filters], capacity: int | None) -> ArrayFilters:
        """See `Filters`."""
        parts = [self, *(other.arrays for other in others)]
        # NumPy's function hands over to the concatenation of whatever device the arrays lie on
        return ArrayFilters(**{name: np.concatenate([part.each()[name] for part in parts]) for name in self.each()})

    def detect(self, pipeline: Pipeline, where: Where) -> Detected:
        """See `Filters`; done when it is called, for whom it is."""

        def answer(rows: Rows | None = None) -> tuple[NDArray[np.intp], Peak]:
            part, places = self, where
            if rows is not None:
                scales = len(where) // len(self)
                part, places = self.take(rows), where[(rows[:, None] * scales + np.arange(scales)).reshape(-1)]
            return pipeline.backend.read(*pipeline.responses(places, part), pipeline.config.scale_penalty)

        return answer

    def learn(self, pipeline: Pipeline, where: Where) -> ArrayFilters:
        """See `Filters`."""
        return pipeline.lesson(where, self)
