"""Speed on a GPU for numbers of targets and video streams, in the terms of trtexec, beside the roofline.

Times of a call of `update` for all targets, ms. `host`: until the boxes are on the host. `enqueue`: the part of `host`
without waiting. `device`: from an event before the call to an event after the filter update that it queues. `h2d`,
`d2h`: the copies within `device` outside of graphs. `compute`: the rest of `device`, with copies inside graphs and gaps
in which the GPU waits for the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cupy
import dcfnet
import numpy as np
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import TENSOR_CORES
from dcfnet.devices.cuda.device import CudaDevice
from dcfnet.devices.cuda.graph_capture import CALL_BY_CALL
from dcfnet.devices.cuda.slots import SlotFilters
from dcfnet.errors import ConfigError, DcfnetError, InvalidBoxError, ModelError
from dcfnet.tracking.pipeline import Pipeline

from dcfnet_evaluation.bench.gpu.energy import meter
from dcfnet_evaluation.bench.gpu.roofline import Peak, Sizes, floor_ms, step
from dcfnet_evaluation.bench.gpu.timing import timed
from dcfnet_evaluation.bench.times.targets import TRIES, spread_boxes
from dcfnet_evaluation.rendered import Clip


@dataclass(frozen=True)
class Load:
    """targets: number per stream. streams: videos in one batch. memory: memory of the frames, one of MEMORIES."""

    targets: int
    streams: int = 1
    memory: str = "host"

    @property
    def batch(self) -> int:
        """Number of targets in all streams."""
        return self.targets * self.streams


@dataclass(frozen=True)
class Subject:
    """The tracker to measure. model, engine, preset: as in `dcfnet.MultiTracker`; `dcfnet` has native kernels.

    backend: attributes to set on the backend. patches: dtype of the patches; None selects that of the backbone.
    """

    model: Path = Path("dcfnet")
    engine: str = "auto"
    preset: str | None = None
    backend: Mapping[str, Any] = field(default_factory=dict)
    patches: str | None = None

    def labels(self) -> dict[str, Any]:
        """The settings that identify it in a row."""
        return {"engine": self.engine, **self.backend} | ({"patches": self.patches} if self.patches else {})


PLAIN = Subject()


def sweep(
    clip: Clip, loads: Sequence[Load], updates: int, warm_up: int, subject: Subject = PLAIN
) -> Iterator[dict[str, Any]]:
    """A row for each load, measured when it is asked for. A load that fails gives a row with `error`."""
    for load in loads:
        labels = {"targets": load.targets, "streams": load.streams, "memory": load.memory, **subject.labels()}
        try:
            yield {**labels, **run(clip, load, updates, warm_up, subject)}
        except Exception as error:  # for example out of memory, or an error of CuPy; the other rows are still valid
            yield {**labels, "error": str(error) if isinstance(error, DcfnetError) else repr(error)}


def run(clip: Clip, load: Load, updates: int, warm_up: int, subject: Subject) -> dict[str, Any]:
    """Measures one load. Raises DcfnetError."""
    free = cupy.cuda.runtime.memGetInfo()[0]
    tracker = started(clip, load, subject)
    device = tracker._pipeline.backend._device
    frames = frames_in_memory(clip, load.memory, device)
    energy = meter(cupy.cuda.runtime.deviceGetPCIBusId(device.number))
    measured = timed(tracker, device, frames, load.streams, updates, warm_up, energy)
    means = measured.means()
    rate = load.batch / means["device"] if means["device"] else 0.0
    row = {"updates": updates, "execution": execution(tracker), "ms": measured.quantiles(), "mean_ms": means}
    row |= {"target_frames_per_ms": round(rate, 2), "device_bytes": int(free - cupy.cuda.runtime.memGetInfo()[0])}
    if measured.joules is not None:
        row["millijoules_per_target_frame"] = round(1e3 * measured.joules / (updates * load.batch), 4)
    return row | roofline_figures(clip, load, subject, tracker._pipeline, device, means["device"])


def execution(tracker: Any) -> str:
    """How the tracker's programs run: as captured graphs, as graphs with calls between them, or call by call."""
    filters = tracker._state.filters
    return str(filters.execution) if isinstance(filters, SlotFilters) else CALL_BY_CALL


def started(clip: Clip, load: Load, subject: Subject = PLAIN) -> Any:
    """A tracker of the target of the clip and of places around it, in every stream. Raises DcfnetError."""
    tracker = dcfnet.MultiTracker(
        subject.model, device="cuda", engine=subject.engine, preset=subject.preset, capacity=load.batch
    )
    for name, value in subject.backend.items():
        setattr(tracker._pipeline.backend, name, value)
    if subject.patches:
        tracker._pipeline = replace(tracker._pipeline, patch_dtype=np.dtype(subject.patches))
    for source in range(load.streams):
        _add_targets(tracker, clip, load.targets, source)
    return tracker


def _add_targets(tracker: Any, clip: Clip, targets: int, source: int) -> None:
    """Adds targets in the first frame. Raises ConfigError if the frame has too few places with texture."""
    frame, ids = clip.frame(0), []
    for place in spread_boxes(clip.box(0), (frame.shape[1], frame.shape[0]), targets * TRIES):
        with suppress(InvalidBoxError):  # a region without texture: try the next place
            ids.append(tracker.add(frame, place, source))
        if len(ids) == targets:
            return
    raise ConfigError(f"{targets} targets: the frame has {len(ids)} places with texture; use fewer targets")


def frames_in_memory(clip: Clip, memory: str, device: CudaDevice) -> list[Any]:
    """The frames of the clip without the first one, in this kind of memory."""
    frames = [clip.frame(index) for index in range(1, clip.length)]
    if memory == "device":
        return [cupy.asarray(frame) for frame in frames]
    if memory == "pinned":
        buffers = [device.pinned(frame.size).reshape(frame.shape) for frame in frames]
        for buffer, frame in zip(buffers, frames, strict=True):
            buffer[...] = frame
        return buffers
    return frames


def roofline_figures(
    clip: Clip, load: Load, subject: Subject, pipeline: Pipeline, device: CudaDevice, measured: float
) -> dict[str, Any]:
    """The floor of an update, ms, and the measured time divided by it; empty if the floor cannot be computed.

    It is a floor of float32 arithmetic, so there is none for tensor cores.
    """
    peak, box = peak_of(device), clip.box(0)
    try:
        sizes = Sizes.of(load_model(subject.model), pipeline.config, pipeline.patch_dtype)
    except ModelError:
        return {}
    if peak is None or subject.engine == TENSOR_CORES:
        return {}
    stages = step(sizes, load.batch, box.w * box.h * (1 + pipeline.config.padding) ** 2)
    floor = floor_ms(stages, peak)
    return {"floor_ms": round(floor, 5), "measured_over_floor": round(measured / floor, 1)}


def peak_of(device: CudaDevice) -> Peak | None:
    """The peak rates of the device; None if it does not report its clocks."""
    attributes = ("MultiProcessorCount", "ClockRate", "MemoryClockRate", "GlobalMemoryBusWidth")
    values = [device.attribute(name) for name in attributes]
    count, clock, memory_clock, bus = values
    return Peak.of(device.compute_capability, count, clock * 1e3, memory_clock * 1e3, bus) if all(values) else None
