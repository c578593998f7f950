"""Speed on a GPU for numbers of targets and video streams, in the terms of trtexec, beside the roofline.

Times of an update of all targets, ms. `host`: until the boxes are on the host. `enqueue`: the part of `host` without
waiting. `device`: from an event before the call to an event after the filter update that it queues. `h2d`, `d2h`: the
copies within `device`. `compute`: the rest of `device`, including gaps in which the GPU waits for the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cupy
import dcfnet
import numpy as np
from dcfnet.backbones.loading import load_model
from dcfnet.devices.cuda.device import CudaDevice
from dcfnet.errors import ConfigError, DcfnetError, InvalidBoxError, ModelError
from dcfnet.tracking.pipeline import Pipeline

from dcfnet_evaluation.bench.energy import Meter, meter
from dcfnet_evaluation.bench.roofline import Peak, Sizes, floor_ms, step
from dcfnet_evaluation.bench.targets import TRIES, spread_boxes
from dcfnet_evaluation.rendered import Clip

TIMES = ("host", "enqueue", "device", "h2d", "compute", "d2h")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


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


class Copies:
    """Times the copies of a device with events, and the waits of the host. It covers one update at a time."""

    def __init__(self, device: CudaDevice) -> None:
        self._device, self._pairs, self.waited = device, dict[str, list[tuple[Any, Any]]](), 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A context in which the copies and waits of the device are timed."""
        copies = {"upload": "h2d", "copy_rows": "h2d", "fetch": "d2h", "to_host": "d2h"}
        for name, direction in copies.items():
            setattr(self._device, name, self._between_events(getattr(self._device, name), direction))
        for name in ("wait", "to_host"):
            setattr(self._device, name, self._waiting(getattr(self._device, name)))
        try:
            yield
        finally:
            for name in (*copies, "wait"):
                delattr(self._device, name)  # restores the method of the class

    def begin(self) -> None:
        """Starts an update."""
        self._pairs, self.waited = {"h2d": [], "d2h": []}, 0.0

    def milliseconds(self) -> dict[str, float]:
        """Direction -> milliseconds of its copies. The device must have finished."""
        elapsed = cupy.cuda.get_elapsed_time
        return {direction: sum(float(elapsed(*pair)) for pair in pairs) for direction, pairs in self._pairs.items()}

    def _between_events(self, function: Callable[..., Any], direction: str) -> Callable[..., Any]:
        def copied(*arguments: Any) -> Any:
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            result = function(*arguments)
            stop.record()
            self._pairs.setdefault(direction, []).append((start, stop))
            return result

        return copied

    def _waiting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def waited(*arguments: Any) -> Any:
            start_time = time.perf_counter()
            result = function(*arguments)
            self.waited += time.perf_counter() - start_time
            return result

        return waited


def sweep(
    clip: Clip, loads: Sequence[Load], updates: int, warm_up: int, subject: Subject = PLAIN
) -> list[dict[str, Any]]:
    """Measures a row for each load. A load that fails gives a row with `error`."""
    rows: list[dict[str, Any]] = []
    for load in loads:
        labels = {"targets": load.targets, "streams": load.streams, "memory": load.memory, **subject.labels()}
        try:
            rows.append({**labels, **run(clip, load, updates, warm_up, subject)})
        except DcfnetError as error:  # for example out of memory; the other rows are still valid
            rows.append({**labels, "error": str(error)})
    return rows


def run(clip: Clip, load: Load, updates: int, warm_up: int, subject: Subject) -> dict[str, Any]:
    """Measures one load. Raises DcfnetError."""
    free = cupy.cuda.runtime.memGetInfo()[0]
    tracker = started(clip, load, subject)
    device = tracker._pipeline.backend._device
    frames = frames_in_memory(clip, load.memory, device)
    energy = meter(cupy.cuda.runtime.deviceGetPCIBusId(device.number))
    times, joules = timed(tracker, device, frames, load.streams, updates, warm_up, energy)
    ms = {name: quantiles(times[name]) for name in TIMES}
    rate = load.batch / ms["device"]["p50"] if ms["device"]["p50"] else 0.0
    used_bytes = free - cupy.cuda.runtime.memGetInfo()[0]
    row = {"updates": updates, "ms": ms, "target_frames_per_ms": round(rate, 2), "device_bytes": int(used_bytes)}
    if joules is not None:
        row["millijoules_per_target_frame"] = round(1e3 * joules / (updates * load.batch), 4)
    return row | roofline_figures(clip, load, subject, tracker._pipeline, device, ms["device"]["p50"])


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


def play_back_and_forth(frames: Sequence[Any]) -> Iterator[Any]:
    """Repeats the frames forwards and backwards, so that the scene never jumps."""
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def timed(
    tracker: Any, device: CudaDevice, frames: Sequence[Any], streams: int, updates: int, warm_up: int, energy: Meter
) -> tuple[dict[str, list[float]], float | None]:
    """Name of TIMES -> milliseconds of every update, and joules of all updates together."""
    begin, end, copies, played = cupy.cuda.Event(), cupy.cuda.Event(), Copies(device), play_back_and_forth(frames)
    times: dict[str, list[float]] = {name: [] for name in TIMES}
    before = None
    with copies.watched():
        for index in range(warm_up + updates):
            if index == warm_up:
                before = energy()
            stream_frames = dict.fromkeys(range(streams), next(played))
            copies.begin()
            start_time = time.perf_counter()
            begin.record()
            tracker.update(stream_frames)
            end.record()
            host = time.perf_counter() - start_time
            end.synchronize()
            if index >= warm_up:
                whole, copy_times = float(cupy.cuda.get_elapsed_time(begin, end)), copies.milliseconds()
                row = {"host": 1e3 * host, "enqueue": 1e3 * (host - copies.waited), "device": whole, **copy_times}
                for name, value in (row | {"compute": whole - sum(copy_times.values())}).items():
                    times[name].append(value)
    after = energy()
    return times, None if before is None or after is None else after - before


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and tail, ms, rounded to 1 microsecond."""
    return {name: round(float(np.quantile(values, share)), 3) for name, share in QUANTILES.items()}


def roofline_figures(
    clip: Clip, load: Load, subject: Subject, pipeline: Pipeline, device: CudaDevice, measured: float
) -> dict[str, Any]:
    """The floor of an update, ms, and the measured time divided by it; empty if the floor cannot be computed."""
    peak, box = peak_of(device), clip.box(0)
    try:
        sizes = Sizes.of(load_model(subject.model), pipeline.config, pipeline.patch_dtype)
    except ModelError:
        return {}
    if peak is None:
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
