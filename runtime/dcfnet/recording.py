"""An array program recorded on a stream: CUDA graphs, and between them the calls that cannot be part of one.

Its memory comes from a pool of its own, once, before it is captured: what it frees on the way nobody else takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.backbones import Backbone
from dcfnet.backend import Array
from dcfnet.uploads import Staging, send

_warned: list[str] = []


class Recording:
    """What a program queues, in order. Made once in rehearsal, when it is done and nothing is captured, then captured.

    device: a `CudaDevice`. stream: the current one of this thread, none that others know of.
    """

    def __init__(self, device: Any, stream: Any, rehearsal: bool) -> None:
        self._device, self._stream, self._rehearsal = device, stream, rehearsal
        self._steps: list[Callable[[], Any]] = []
        self._held: list[
            Array
        ] = []  # what calls read and write, in rehearsal as later, so that it needs as much memory

    def made_by(self, work: Callable[[], Array]) -> Array:
        """The array that the program makes; with every run the same one. Raises whatever CuPy does, and `work`."""
        self._begin()
        try:
            made = work()
        except BaseException:
            if not self._rehearsal:
                with suppress(Exception):  # what went wrong has spoilt the capture
                    self._stream.end_capture()
            raise
        self._end()
        return made

    def between(self, call: Backbone, given: Array) -> Array:
        """What a call makes of an array, in memory that stays: the call itself comes with every run."""
        self._end()
        device, features = self._device, call(given)
        made = device.empty(tuple(features.shape), features.dtype)
        device.copy(features, made)
        self._held += [given, made]
        self._steps.append(lambda: device.copy(call(given), made))  # without self: what is dropped is free at once
        self._begin()
        return made

    def run(self) -> None:
        """Queues it all on the current stream."""
        for step in self._steps:
            step()

    def _begin(self) -> None:
        if not self._rehearsal:
            self._stream.begin_capture()

    def _end(self) -> None:
        if not self._rehearsal:
            self._steps.append(self._stream.end_capture().launch)


class Own(Protocol):
    """What a backbone has for one captured program alone, as `own` of it gives: see `OwnExecutions` of trt.py."""

    def begin(self) -> None:
        """The program is recorded from its start."""

    def __call__(self, patches: Array) -> Array | None:
        """Features, queued; None where that cannot be part of a graph."""


class Recorded:
    """A backbone in a program that is recorded: in its graph, by what it has of its own for that, or between two."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._own: Own | None = backbone.own() if hasattr(backbone, "own") else None
        self._recording: Recording | None = None

    def __call__(self, patches: Array) -> Array:
        if self._recording is None:
            return self._backbone(patches)
        features = self._own(patches) if self._own is not None else None
        return self._recording.between(self._backbone, patches) if features is None else features

    @contextmanager
    def within(self, recording: Recording) -> Iterator[None]:
        """It is recorded by this."""
        self._recording = recording
        if self._own is not None:
            self._own.begin()
        try:
            yield
        finally:
            self._recording = None


class Program:
    """Work upon memory that stays where it is, captured once; its parameters, bytes of the host, change."""

    def __init__(self, device: Any, size: int, work: Callable[[Array], Array], backbone: Recorded | None) -> None:
        """work: takes the parameters, uint8 (size,) on a `CudaDevice`; no shape may depend on what they say.

        backbone: of the work, where it cannot be captured as it is.
        """
        self._device, self._work, self._backbone = device, work, backbone
        self._given = device.zeros((size,), np.uint8)
        self._turns = [Staging(device), Staging(device)]
        self._queued: Callable[[], Array] | None = None

    def prepare(self, pool: Any) -> None:
        """Captures it, with memory of `pool`; where that cannot be, a warning says that it is queued call by call."""
        device, work, given = self._device, self._work, self._given  # what is kept below keeps no Program
        with device.apart(pool) as stream:
            # Compiles what is not, and lays memory in; parameters of zeros change nothing.
            self._recorded(Recording(device, stream, rehearsal=True))
            stream.synchronize()
            recording = Recording(device, stream, rehearsal=False)
            try:
                made = self._recorded(recording)
            except Exception as error:  # whatever CuPy or a library has against it
                _warn(
                    f"work for the GPU cannot be captured as a graph: {error.__cause__ or error}; it is queued in parts"
                )
                self._queued = lambda: work(given)
                return

        def launched() -> Array:
            with device.guarded():
                recording.run()
            return made

        self._queued = launched

    def run(self, parameters: NDArray[np.uint8]) -> Array:
        """Queues it with these parameters, uint8 (size,); returns the array that it makes, the same one each time."""
        assert self._queued is not None, "prepare comes first"
        send(self._device, self._turns, parameters[None], self._device.address(self._given), len(parameters))
        return self._queued()

    def _recorded(self, recording: Recording) -> Array:
        with self._backbone.within(recording) if self._backbone else nullcontext():
            return recording.made_by(lambda: self._work(self._given))


def _warn(told: str) -> None:
    """Warns of it, once a process, whatever the reasons are."""
    if not _warned:
        _warned.append(told)
        warnings.warn(told, RuntimeWarning, stacklevel=2)
