"""How fast a GPU tracks, in the words of trtexec, for numbers of targets and of video streams, beside the roofline.

Of an update of all targets, ms: `host` until the boxes are there; `enqueue`, of that what the host did while it waited
for nothing; `device` between an event before the call and one after the lesson that it queued; `h2d` and `d2h`, of that
the copies; `compute` the rest, gaps in which the GPU waited for the host included.
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
from dcfnet.device import CudaDevice
from dcfnet.errors import ConfigError, DcfnetError, InvalidBoxError, ModelError
from dcfnet.model import load_model
from dcfnet.pipeline import Pipeline

from dcfnet_evaluation.bench.energy import Meter, meter
from dcfnet_evaluation.bench.roofline import Peak, Sizes, floor_ms, step
from dcfnet_evaluation.bench.targets import TRIES, spread_boxes
from dcfnet_evaluation.rendered import Clip

TIMES = ("host", "enqueue", "device", "h2d", "compute", "d2h")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class Load:
    """targets: in each of `streams` videos, all of them one batch. memory: that frames come from, one of MEMORIES."""

    targets: int
    streams: int = 1
    memory: str = "host"

    @property
    def batch(self) -> int:
        """Targets in all."""
        return self.targets * self.streams


@dataclass(frozen=True)
class Subject:
    """What tracks: as of `dcfnet.MultiTracker`. backend: attributes of the backend that are set first. patches: their
    type, in place of that which the backbone would rather have.
    """

    model: Path | None = None
    engine: str = "auto"
    preset: str | None = None
    backend: Mapping[str, Any] = field(default_factory=dict)
    patches: str | None = None

    def named(self) -> dict[str, Any]:
        """What tells it from others, for a row."""
        return {"engine": self.engine, **self.backend} | ({"patches": self.patches} if self.patches else {})


PLAIN = Subject()


class Copies:
    """Events around a device's copies, and the host's time in those that it waits for; of one update at a time."""

    def __init__(self, device: CudaDevice) -> None:
        self._device, self._pairs, self.waited = device, dict[str, list[tuple[Any, Any]]](), 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, the device's copies are."""
        copies = {"upload": "h2d", "copy_rows": "h2d", "fetch": "d2h", "to_host": "d2h"}
        for name, way in copies.items():
            setattr(self._device, name, self._between_events(getattr(self._device, name), way))
        for name in ("wait", "to_host"):
            setattr(self._device, name, self._waiting(getattr(self._device, name)))
        try:
            yield
        finally:
            for name in (*copies, "wait"):
                delattr(self._device, name)  # the class's own again

    def begin(self) -> None:
        """An update begins."""
        self._pairs, self.waited = {"h2d": [], "d2h": []}, 0.0

    def took(self) -> dict[str, float]:
        """Milliseconds each way, once the device is done."""
        elapsed = cupy.cuda.get_elapsed_time
        return {way: sum(float(elapsed(*pair)) for pair in pairs) for way, pairs in self._pairs.items()}

    def _between_events(self, function: Callable[..., Any], way: str) -> Callable[..., Any]:
        def copied(*given: Any) -> Any:
            began, ended = cupy.cuda.Event(), cupy.cuda.Event()
            began.record()
            answer = function(*given)
            ended.record()
            self._pairs.setdefault(way, []).append((began, ended))
            return answer

        return copied

    def _waiting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def waited(*given: Any) -> Any:
            since = time.perf_counter()
            answer = function(*given)
            self.waited += time.perf_counter() - since
            return answer

        return waited


def sweep(
    clip: Clip, loads: Sequence[Load], updates: int, warm_up: int, subject: Subject = PLAIN
) -> list[dict[str, Any]]:
    """A row a load; what could not be run says why in `error`."""
    rows: list[dict[str, Any]] = []
    for load in loads:
        named = {"targets": load.targets, "streams": load.streams, "memory": load.memory, **subject.named()}
        try:
            rows.append({**named, **run(clip, load, updates, warm_up, subject)})
        except DcfnetError as error:  # no memory for so many: the other rows still count
            rows.append({**named, "error": str(error)})
    return rows


def run(clip: Clip, load: Load, updates: int, warm_up: int, subject: Subject) -> dict[str, Any]:
    """Figures of one load. Raises DcfnetError."""
    free = cupy.cuda.runtime.memGetInfo()[0]
    tracker = started(clip, load, subject)
    device = tracker._pipeline.backend._device
    frames = placed(clip, load.memory, device)
    energy = meter(cupy.cuda.runtime.deviceGetPCIBusId(device.number))
    times, joules = timed(tracker, device, frames, load.streams, updates, warm_up, energy)
    told = {name: quantiles(times[name]) for name in TIMES}
    rate = load.batch / told["device"]["p50"] if told["device"]["p50"] else 0.0
    taken = free - cupy.cuda.runtime.memGetInfo()[0]
    found = {"updates": updates, "ms": told, "target_frames_per_ms": round(rate, 2), "device_bytes": int(taken)}
    if joules is not None:
        found["millijoules_per_target_frame"] = round(1e3 * joules / (updates * load.batch), 4)
    return found | against_the_roofline(clip, load, subject, tracker._pipeline, device, told["device"]["p50"])


def started(clip: Clip, load: Load, subject: Subject = PLAIN) -> Any:
    """A tracker that follows the clip's target and places around it, in every stream. Raises DcfnetError."""
    tracker = dcfnet.MultiTracker(
        subject.model, device="cuda", engine=subject.engine, preset=subject.preset, capacity=load.batch
    )
    for name, value in subject.backend.items():
        setattr(tracker._pipeline.backend, name, value)
    if subject.patches:
        tracker._pipeline = replace(tracker._pipeline, dtype=np.dtype(subject.patches))
    for source in range(load.streams):
        _add_targets(tracker, clip, load.targets, source)
    return tracker


def _add_targets(tracker: Any, clip: Clip, targets: int, source: int) -> None:
    """Raises ConfigError where the frame does not show so many."""
    frame, ids = clip.frame(0), []
    for place in spread_boxes(clip.box(0), (frame.shape[1], frame.shape[0]), targets * TRIES):
        with suppress(InvalidBoxError):  # a flat patch of sky: the next place
            ids.append(tracker.add(frame, place, source))
        if len(ids) == targets:
            return
    raise ConfigError(f"the frame shows something to follow in {len(ids)} places, not in {targets}")


def placed(clip: Clip, memory: str, device: CudaDevice) -> list[Any]:
    """The clip's frames but the first, in memory of that kind."""
    frames = [clip.frame(index) for index in range(1, clip.length)]
    if memory == "device":
        return [cupy.asarray(frame) for frame in frames]
    if memory == "pinned":
        buffers = [device.pinned(frame.size).reshape(frame.shape) for frame in frames]
        for buffer, frame in zip(buffers, frames, strict=True):
            buffer[...] = frame
        return buffers
    return frames


def there_and_back(frames: Sequence[Any]) -> Iterator[Any]:
    """The frames, again and again, with no leap between two of them."""
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def timed(
    tracker: Any, device: CudaDevice, frames: Sequence[Any], streams: int, updates: int, warm_up: int, energy: Meter
) -> tuple[dict[str, list[float]], float | None]:
    """Milliseconds of every update, by what they are of, and joules of all of them together."""
    begin, end, copies, shown = cupy.cuda.Event(), cupy.cuda.Event(), Copies(device), there_and_back(frames)
    times: dict[str, list[float]] = {name: [] for name in TIMES}
    before = None
    with copies.watched():
        for index in range(warm_up + updates):
            if index == warm_up:
                before = energy()
            given = dict.fromkeys(range(streams), next(shown))
            copies.begin()
            since = time.perf_counter()
            begin.record()
            tracker.update(given)
            end.record()
            host = time.perf_counter() - since
            end.synchronize()
            if index >= warm_up:
                whole, ways = float(cupy.cuda.get_elapsed_time(begin, end)), copies.took()
                row = {"host": 1e3 * host, "enqueue": 1e3 * (host - copies.waited), "device": whole, **ways}
                for name, value in (row | {"compute": whole - sum(ways.values())}).items():
                    times[name].append(value)
    after = energy()
    return times, None if before is None or after is None else after - before


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and tail, rounded to the microsecond."""
    return {name: round(float(np.quantile(values, share)), 3) for name, share in QUANTILES.items()}


def against_the_roofline(
    clip: Clip, load: Load, subject: Subject, pipeline: Pipeline, device: CudaDevice, measured: float
) -> dict[str, Any]:
    """The floor of an update, ms, and how many times as long it took; nothing where either side is not known."""
    peak, box = peak_of(device), clip.box(0)
    try:
        sizes = Sizes.of(load_model(subject.model), pipeline.config, pipeline.dtype)
    except ModelError:
        return {}
    if peak is None:
        return {}
    stages = step(sizes, load.batch, box.w * box.h * (1 + pipeline.config.padding) ** 2)
    floor = floor_ms(stages, peak)
    return {"floor_ms": round(floor, 5), "measured_over_floor": round(measured / floor, 1)}


def peak_of(device: CudaDevice) -> Peak | None:
    """The device at its best; None where it does not tell its clocks."""
    asked = ("MultiProcessorCount", "ClockRate", "MemoryClockRate", "GlobalMemoryBusWidth")
    found = [device.attribute(name) for name in asked]
    count, clock, memory_clock, bus = found
    return Peak.of(device.compute_capability, count, clock * 1e3, memory_clock * 1e3, bus) if all(found) else None
