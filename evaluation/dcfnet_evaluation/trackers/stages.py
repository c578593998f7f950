"""Time of each stage of a frame. The clocks do not change the arithmetic of the tracker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from dcfnet.devices.backend import Backend
from dcfnet.devices.filters import ArrayFilters, Filters, FramePrograms
from dcfnet.filter.transform import SpectralTransform
from dcfnet.io.frame import Frame
from dcfnet.model.backbone import as_backbone
from dcfnet.result import Box, Result
from dcfnet.tracker import Tracker
from dcfnet.tracking.pipeline import Pipeline
from numpy.typing import NDArray

STAGES = ("crop", "backbone", "transform", "solve", "learn", "rest")
# The stage of the time between two calls of the backend. Between the two transforms the filter computes its response;
# after the transform of the template patch the filter is updated.
STAGE_BETWEEN = {
    ("forward", "inverse"): "solve",
    ("forward", "end"): "learn",
    ("forward", "crop"): "learn",
}


class StageClock:
    """Adds up the time of every stage, frame by frame."""

    def __init__(self) -> None:
        self._frames: list[dict[str, float]] = []
        self._last_time, self._last_call = 0.0, "start"

    def begin(self, first: bool) -> None:
        """Starts a frame. first: whether it is the first frame of a pass; the times of earlier passes are dropped."""
        if first:
            self._frames = []
        self._frames.append(dict.fromkeys(STAGES, 0.0))
        self._last_time, self._last_call = time.perf_counter(), "start"

    def mark(self, call: str) -> None:
        """Adds the time since the last call to a stage; `call` is the call that starts now, or "end" of the frame."""
        self._add_elapsed(STAGE_BETWEEN.get((self._last_call, call), "rest"))

    def enclose(self, call: str, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps the function: its time is added to `stage`."""

        def timed(*args: Any, **keywords: Any) -> Any:
            self.mark(call)
            result = function(*args, **keywords)
            self._add_elapsed(stage)
            self._last_call = call
            return result

        return timed

    def seconds(self, frames: int) -> dict[str, NDArray[np.float64]]:
        """Stage -> seconds in each frame of the pass, float64 (frames,); 0 for frames that the tracker did not get."""
        rows = [[frame[stage] for frame in self._frames[:frames]] for stage in STAGES]
        return {name: np.pad(np.array(row), (0, frames - len(row))) for name, row in zip(STAGES, rows, strict=True)}

    def _add_elapsed(self, stage: str) -> None:
        now = time.perf_counter()
        if self._frames:
            self._frames[-1][stage] += now - self._last_time
        self._last_time = now


class ClockedBackend:
    """A backend that times the crop of patches."""

    def __init__(self, backend: Backend, clock: StageClock) -> None:
        self.name, self.patches_per_call = backend.name, backend.patches_per_call
        self.asarray, self.to_host, self.read_peaks = backend.asarray, backend.to_host, backend.read_peaks
        self.matmul, self.concatenate, self.stack = backend.matmul, backend.concatenate, backend.stack
        self.respond, self.blend, self.filter_update = backend.respond, backend.blend, backend.filter_update
        self.count_colours, self.likelihood = backend.count_colours, backend.likelihood
        self.guarded, self.frame, self.check_texture = backend.guarded, backend.frame, backend.check_texture
        self.along_both_axes, self.empty, self.thread_context = (
            *(backend.along_both_axes, backend.empty, backend.thread_context),
        )
        self.fourier_transform, self.matrix_transform = backend.fourier_transform, backend.matrix_transform
        self.crop, self.patch_places, self.read_pixels = backend.crop, backend.patch_places, backend.read_pixels
        self.sample_patches = clock.enclose("crop", "crop", backend.sample_patches)

    def store_filters(self, programs: FramePrograms, filters: ArrayFilters) -> Filters:
        """The filters unchanged: captured programs would hide the calls that separate the stages."""
        return filters


class ClockedTransform:
    """A transform that times its two directions. It has their functions, like ClockedBackend."""

    def __init__(self, transform: SpectralTransform, clock: StageClock) -> None:
        self.forward = clock.enclose("forward", "transform", transform.forward)
        self.inverse = clock.enclose("inverse", "transform", transform.inverse)

    def for_capture(self) -> ClockedTransform:
        """The object itself: its work is not captured."""
        return self


class ClockedTracker:
    """A `dcfnet.Tracker` that records the time of each stage."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._clock = StageClock()
        backbone = self._clock.enclose("backbone", "backbone", pipeline.backbone)
        backend = ClockedBackend(pipeline.backend, self._clock)
        transform, *scaled = (ClockedTransform(each, self._clock) for each in (pipeline.transform, *pipeline.scaled))
        network = as_backbone(backbone)
        self._tracker = Tracker.of(
            replace(pipeline, backend=backend, backbone=network, transform=transform, scaled=tuple(scaled))
        )

    def init(self, frame: Frame, box: Box) -> None:
        """`Tracker.init`, timed."""
        self._clock.begin(first=True)
        self._tracker.init(frame, box)
        self._clock.mark("end")

    def update(self, frame: Frame) -> Result:
        """`Tracker.update`, timed."""
        self._clock.begin(first=False)
        result = self._tracker.update(frame)
        self._clock.mark("end")
        return result

    def stages(self, frames: int) -> dict[str, NDArray[np.float64]]:
        """Seconds of every stage in the first `frames` frames since `init`, float64 (frames,) each."""
        return self._clock.seconds(frames)
