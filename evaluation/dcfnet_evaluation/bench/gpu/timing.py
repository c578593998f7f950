"""Times calls of `update` on a GPU. Frames with and without an update of the filter are timed apart.

A mix of both kinds has two peaks, and its median is near one of them by chance. So quantiles are of one kind, and rates
are computed from means over all frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np
from dcfnet.devices.cuda.device import CudaDevice

from dcfnet_evaluation.bench.gpu.energy import Meter

TIMES = ("host", "enqueue", "device", "h2d", "compute", "d2h")
KINDS = ("without_update", "with_update")  # of the filter
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
COPIES_SHARE = 10  # one of so many frames is played again to time the copies


@dataclass(frozen=True)
class Measured:
    """Calls of `update`: a mapping name of TIMES -> ms for each, by kind. joules: of the calls that give `host`."""

    calls: Mapping[str, list[dict[str, float]]]
    joules: float | None

    def quantiles(self) -> dict[str, dict[str, dict[str, float]]]:
        """Kind -> time -> quantile -> ms. Kinds without a call are left out."""
        return {
            kind: {name: quantiles(values) for name in TIMES if (values := _values(calls, name))}
            for kind, calls in self.calls.items()
            if _values(calls, "host")
        }

    def means(self) -> dict[str, float]:
        """Time -> mean over all calls, ms, rounded to 0.1 microseconds."""
        every = [call for calls in self.calls.values() for call in calls]
        return {name: round(float(np.mean(_values(every, name))), 4) for name in TIMES if _values(every, name)}


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


def timed(
    tracker: Any, device: CudaDevice, frames: Sequence[Any], streams: int, updates: int, warm_up: int, energy: Meter
) -> Measured:
    """Times `updates` calls without any other work in them, then some more calls with events around their copies."""
    played = (dict.fromkeys(range(streams), frame) for frame in play_back_and_forth(frames))
    calls: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(warm_up):
        tracker.update(next(played))
    before = energy()
    for _ in range(updates):
        kind = kind_of_next(tracker)
        host, whole = _time_call(tracker, next(played))
        calls[kind].append({"host": host, "device": whole})
    after = energy()
    copies = Copies(device)
    with copies.watched():
        for _ in range(max(updates // COPIES_SHARE, min(updates, 2 * len(KINDS)))):
            kind = kind_of_next(tracker)
            copies.begin()
            host, whole = _time_call(tracker, next(played))
            parts = copies.milliseconds()
            rest = {"enqueue": host - 1e3 * copies.waited, "compute": whole - sum(parts.values())}
            calls[kind].append(parts | rest)
    return Measured(calls, None if before is None or after is None else after - before)


def _time_call(tracker: Any, frames: Mapping[int, Any]) -> tuple[float, float]:
    """Milliseconds of a call on the host, and between events before and after it. The events are outside of `host`."""
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    start_time = time.perf_counter()
    tracker.update(frames)
    host = time.perf_counter() - start_time
    end.record()
    end.synchronize()
    return 1e3 * host, float(cupy.cuda.get_elapsed_time(begin, end))


def kind_of_next(tracker: Any) -> str:
    """Whether the next call updates the filter of a target that is tracked."""
    interval = tracker.config.update_interval
    return KINDS[int((tracker._state.updates % interval == interval - 1).any())]


def play_back_and_forth(frames: Sequence[Any]) -> Iterator[Any]:
    """Repeats the frames forwards and backwards, so that the scene never jumps."""
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and tail, ms, rounded to 1 microsecond."""
    return {name: round(float(np.quantile(values, share)), 3) for name, share in QUANTILES.items()}


def _values(calls: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [call[name] for call in calls if name in call]
