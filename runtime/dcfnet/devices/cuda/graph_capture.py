"""Captures array programs as CUDA graphs. A call that cannot be captured runs between two graphs.

A program allocates from a memory pool of its own, once, in a rehearsal before the capture. Memory that it frees goes
back to that pool, so no other code gets it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.dcf import Array
from dcfnet.model.backbone import Backbone

_warned: list[str] = []
# How a program runs. "graph": as one captured graph.
GRAPH, WITH_CALLS, CALL_BY_CALL = "graph", "graphs with calls between them", "call by call"


class GraphCapture:
    """The steps of a program, in order: graphs, and calls between them.

    A rehearsal executes the work and captures nothing, so that compilers and memory pools are ready for the capture.
    device: a `CudaDevice`. stream: the current stream of this thread, unknown to other code.
    """

    def __init__(self, device: Any, stream: Any, rehearsal: bool) -> None:
        self._device, self._stream, self._rehearsal = device, stream, rehearsal
        self._steps: list[Callable[[], Any]] = []
        # Inputs and outputs of calls between graphs. The rehearsal holds them too, so that it needs as much memory.
        self._held: list[Array] = []

    def capture(self, work: Callable[[], Array]) -> Array:
        """The result of the work: every run writes to this array. Raises what CuPy and `work` raise."""
        self._begin()
        try:
            result = work()
        except BaseException:
            if not self._rehearsal:
                with suppress(Exception):  # the failure has invalidated the capture
                    self._stream.end_capture()
            raise
        self._end()
        return result

    def call_between_graphs(self, call: Backbone, given: Array) -> Array:
        """Ends a graph, adds a call that every run repeats, and begins the next graph. Returns the call's result."""
        self._end()
        device, features = self._device, call(given)
        result = device.empty(tuple(features.shape), features.dtype)
        device.copy(features, result)
        self._held += [given, result]
        # The step does not refer to self: a dropped capture is then free at once.
        self._steps.append(lambda: device.copy(call(given), result))
        self._begin()
        return result

    @property
    def execution(self) -> str:
        """GRAPH or WITH_CALLS."""
        return GRAPH if len(self._steps) == 1 else WITH_CALLS

    def run(self) -> None:
        """Queues all steps on the current stream."""
        for step in self._steps:
            step()

    def _begin(self) -> None:
        if not self._rehearsal:
            self._stream.begin_capture()

    def _end(self) -> None:
        if not self._rehearsal:
            self._steps.append(self._stream.end_capture().launch)


class CapturedBackbone(Backbone):
    """A backbone inside a captured program: part of its graph if possible, else a call between two graphs."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._own = backbone, backbone.for_capture()
        self.input_dtype = backbone.input_dtype
        self._capture: GraphCapture | None = None

    def __call__(self, patches: Array) -> Array:
        if self._capture is None:
            return self._backbone(patches)
        features = self._own(patches) if self._own is not None else None
        return self._capture.call_between_graphs(self._backbone, patches) if features is None else features

    @contextmanager
    def within(self, capture: GraphCapture) -> Iterator[None]:
        """A context in which calls belong to this capture."""
        self._capture = capture
        if self._own is not None:
            self._own.begin()
        try:
            yield
        finally:
            self._capture = None


class CapturedProgram:
    """Work on fixed device memory, captured once. The host writes new parameters, as bytes, for every run.

    They are in pinned memory, and the copy to the device is the first part of the work. So a run is one call of CUDA.
    """

    def __init__(
        self, device: Any, size: int, work: Callable[[Array], Array], backbone: CapturedBackbone | None
    ) -> None:
        """work: gets the parameters, uint8 (size,) on the device; no shape may depend on their values.

        backbone: the backbone inside the work, if it is not capturable.
        """
        self._device, self._work, self._backbone = device, work, backbone
        self._parameters = device.zeros((size,), np.uint8)
        self._sent: NDArray[np.uint8] = device.pinned(size)
        self._sent.fill(0)
        self._ended = device.event()  # has passed when the last run has ended
        self._pool = device.pool()
        self._queue: Callable[[], Array] | None = None
        self.execution = CALL_BY_CALL  # how it runs, after `prepare`

    def prepare(self) -> None:
        """Captures the work, once. If that fails, it warns, and runs queue the work call by call.

        The pool belongs to this program alone: a pool without memory returns its free blocks to the device, and the
        graph uses such blocks.
        """
        if self._queue is not None:
            return
        device, work = self._device, self._work_with_copy()  # the closures hold no CapturedProgram
        with device.capture_stream(self._pool) as stream:
            # The rehearsal compiles kernels and fills the pool. Parameters of zeros change no filter.
            self._captured(GraphCapture(device, stream, rehearsal=True), work)
            stream.synchronize()
            capture = GraphCapture(device, stream, rehearsal=False)
            try:
                result = self._captured(capture, work)
            except Exception as error:  # CuPy and the libraries raise many types
                cause = error.__cause__ or error
                _warn(f"the GPU work cannot be captured as a CUDA graph: {cause}; it is queued call by call")
                self._queue = work
                return

        def launch() -> Array:
            with device.guarded():
                capture.run()
            return result

        self._queue, self.execution = launch, capture.execution

    def parameters(self) -> NDArray[np.uint8]:
        """The parameters of the next run, uint8 (size,), the same memory every time. Waits for the end of the last run.

        At first they are zeros; later those of the last run.
        """
        self._ended.synchronize()
        return self._sent

    def run(self) -> Array:
        """Queues the work with the parameters that are written. Returns its result, the same array every time."""
        assert self._queue is not None, "prepare comes first"
        result = self._queue()
        self._ended.record()
        return result

    def _work_with_copy(self) -> Callable[[], Array]:
        device, work, sent, parameters = self._device, self._work, self._sent, self._parameters

        def complete() -> Array:
            device.send(sent, parameters)
            return work(parameters)

        return complete

    def _captured(self, capture: GraphCapture, work: Callable[[], Array]) -> Array:
        with self._backbone.within(capture) if self._backbone else nullcontext():
            return capture.capture(work)


def _warn(message: str) -> None:
    """Warns once per process, even if there are several reasons."""
    if not _warned:
        _warned.append(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)
