"""Where the time of a frame goes: the tracker between clocks, its arithmetic untouched."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dcfnet.backend import Array, Backend, Frame
from dcfnet.filters import Filters
from dcfnet.fourier import Transform
from dcfnet.geometry import Box
from dcfnet.pipeline import Pipeline
from dcfnet.result import Result
from dcfnet.tracker import Tracker
from numpy.typing import NDArray

STAGES = ("crop", "backbone", "transform", "solve", "learn", "rest")
# Work that no call encloses, by the calls before and after it: the filter answers between the two transforms, and what
# follows the template's transform is learning.
BETWEEN = {
    ("forward", "inverse"): "solve",
    ("forward", "end"): "learn",
    ("forward", "crop"): "learn",
}


class StageClock:
    """Adds up the time of every stage, frame by frame."""

    def __init__(self) -> None:
        self._frames: list[dict[str, float]] = []
        self._last, self._before = 0.0, "start"

    def begin(self, first: bool) -> None:
        """A frame begins; first: the first one of a pass."""
        if first:
            self._frames = []
        self._frames.append(dict.fromkeys(STAGES, 0.0))
        self._last, self._before = time.perf_counter(), "start"

    def mark(self, call: str) -> None:
        """A call of the backend begins, or the frame ends: what was done since the last one is booked."""
        self._book(BETWEEN.get((self._before, call), "rest"))

    def enclose(self, call: str, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time booked to `stage`."""

        def timed(*args: Any, **options: Any) -> Any:
            self.mark(call)
            answer = function(*args, **options)
            self._book(stage)
            self._before = call
            return answer

        return timed

    def seconds(self, frames: int) -> dict[str, NDArray[np.float64]]:
        """Seconds of every stage in the frames of the pass, float64 (frames,) each; 0 where it was not asked."""
        known = [[frame[stage] for frame in self._frames[:frames]] for stage in STAGES]
        return {name: np.pad(np.array(row), (0, frames - len(row))) for name, row in zip(STAGES, known, strict=True)}

    def _book(self, stage: str) -> None:
        now = time.perf_counter()
        if self._frames:
            self._frames[-1][stage] += now - self._last
        self._last = now


class ClockedBackend:
    """A backend whose calls are timed."""

    def __init__(self, backend: Backend, clock: StageClock) -> None:
        self.name, self.patches_at_once = backend.name, backend.patches_at_once
        self.asarray, self.to_host, self.read = backend.asarray, backend.to_host, backend.read
        self.product, self.joined = backend.product, backend.joined
        self.respond, self.blend, self.learning = backend.respond, backend.blend, backend.learning
        self.count_colours, self.likelihood = backend.count_colours, backend.likelihood
        self.guarded, self.frame, self.textured = backend.guarded, backend.frame, backend.textured
        self.carried = backend.carried
        self.crop, self.places = backend.crop, backend.places
        self.cut = clock.enclose("crop", "crop", backend.cut)

    def remember(self, pipeline: Pipeline, filters: Filters) -> Filters:
        """As they are: stages can be told apart where they are called one by one."""
        return filters


@dataclass(frozen=True)
class ClockedTransform(Transform):
    """A transform whose two directions are timed."""

    clock: StageClock

    def forward(self, maps: Array) -> Array:
        """As `Transform.forward`."""
        return self.clock.enclose("forward", "transform", super().forward)(maps)

    def inverse(self, spectra: Array) -> Array:
        """As `Transform.inverse`."""
        return self.clock.enclose("inverse", "transform", super().inverse)(spectra)


class ClockedTracker:
    """`dcfnet.Tracker` whose stages can be told apart afterwards."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._clock = StageClock()
        backbone = self._clock.enclose("backbone", "backbone", pipeline.backbone)
        backend = ClockedBackend(pipeline.backend, self._clock)
        transform = ClockedTransform(**vars(pipeline.transform), clock=self._clock)
        self._tracker = Tracker.of(replace(pipeline, backend=backend, backbone=backbone, transform=transform))

    def init(self, frame: Frame, box: Box) -> None:
        """As `Tracker.init`."""
        self._clock.begin(first=True)
        self._tracker.init(frame, box)
        self._clock.mark("end")

    def update(self, frame: Frame) -> Result:
        """As `Tracker.update`."""
        self._clock.begin(first=False)
        result = self._tracker.update(frame)
        self._clock.mark("end")
        return result

    def stages(self, frames: int) -> dict[str, NDArray[np.float64]]:
        """Seconds of every stage in the frames since `init`, float64 (frames,) each."""
        return self._clock.seconds(frames)
