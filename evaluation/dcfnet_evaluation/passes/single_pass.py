"""Passes: a tracker starts in one frame of a sequence and runs to the end without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from dcfnet.io.frame import Frame
from dcfnet.result import Box
from numpy.typing import NDArray

from dcfnet_evaluation.passes.protocols import Start, ope
from dcfnet_evaluation.sequences import AnnotatedSequence

BLOCK_FRAMES = 30  # frames of a block; each tracker processes a whole block in turn
BLOCK_BYTES = 128 * 2**20  # a block ends when its decoded frames exceed this size
NO_BOX = (np.nan,) * 4


class SingleTracker(Protocol):
    """The interface of a tracker. An exception of the tracker is recorded as its failure."""

    def init(self, frame: Frame, box: Box) -> object:
        """Starts to track the target in `box`, 0-based frame pixels."""

    def update(self, frame: Frame) -> Any:
        """The target box in the next frame: four numbers, or an object with `box`.

        The object can also have `status`, `psr` and `confidence`.
        """


@dataclass(frozen=True)
class Failure:
    """A failure of a tracker. frame: its first frame, 0-based. what: description. frames: number of frames in a row."""

    frame: int
    what: str
    frames: int = 1


@dataclass(frozen=True)
class Pass:
    """One pass over N frames of a sequence, from frame `start`.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; the first is the box of the start; NaN if the tracker gave
    no usable box. statuses: N of "tracked", "uncertain", "lost", or "" if the tracker has no status. psr: float64 (N,),
    NaN if the tracker has none. seconds: float64 (N,), time in the tracker without decoding; the first is `init`.
    stages: stage -> seconds, float64 (N,); empty if the tracker does not record stages. confidence: float64 (N,), NaN
    in a frame without one; None if the tracker has none.
    """

    start: int
    boxes: NDArray[np.float64]
    statuses: tuple[str, ...]
    psr: NDArray[np.float64]
    seconds: NDArray[np.float64]
    failures: tuple[Failure, ...] = ()
    stages: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    confidence: NDArray[np.float64] | None = None

    def is_complete(self) -> bool:
        """Whether every frame has a box, a status, a PSR and times."""
        confidence = () if self.confidence is None else (self.confidence,)
        columns = (self.statuses, self.psr, self.seconds, *self.stages.values(), *confidence)
        return all(len(column) == len(self.boxes) for column in columns)

    def truth(self, sequence: AnnotatedSequence) -> NDArray[np.float64]:
        """True boxes of the frames of the pass, float64 (N, 4), NaN if the target is absent."""
        return sequence.boxes[self.start :][: len(self.boxes)]


def run_pass(
    tracker: SingleTracker, sequence: AnnotatedSequence, start: Start | None = None, limit: int | None = None
) -> Pass:
    """Runs one tracker over `limit` frames, or to the end of the sequence.

    start: None is the first frame with its true box. Raises SequenceError if a frame cannot be read. Exceptions of the
    tracker become failures of the pass.
    """
    return run_passes({"": tracker}, sequence, start, limit)[""]


def run_passes(
    trackers: Mapping[str, SingleTracker],
    sequence: AnnotatedSequence,
    start: Start | None = None,
    limit: int | None = None,
) -> dict[str, Pass]:
    """Runs several trackers over the same frames; arguments and errors as in `run_pass`.

    Each block of frames is decoded once, then processed by each tracker in turn. The order rotates with the blocks, so
    that other load on the machine affects all trackers equally.
    """
    start = start or ope(sequence)[0]
    records = [PassRecorder(name, tracker, start) for name, tracker in trackers.items()]
    for turn, block in enumerate(_blocks(sequence, range(start.index, len(sequence))[:limit])):
        first = turn % len(records)
        for record in records[first:] + records[:first]:
            for index, frame in block:
                record.feed(index, frame.copy())  # a tracker may write into its own copy
    return {record.name: record.done() for record in records}


def _blocks(sequence: AnnotatedSequence, indices: Iterable[int]) -> Iterator[list[tuple[int, Frame]]]:
    """Decoded frames in blocks of limited size."""
    block: list[tuple[int, Frame]] = []
    for index in indices:
        block.append((index, sequence.read(index)))
        if len(block) == BLOCK_FRAMES or sum(frame.nbytes for _, frame in block) > BLOCK_BYTES:
            yield block
            block = []
    if block:
        yield block


class PassRecorder:
    """Records the results of one tracker during a pass."""

    def __init__(
        self, name: str, tracker: SingleTracker, start: Start, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.name, self._tracker, self._start, self._clock = name, tracker, start, clock
        self._error: str | None = None  # text of its exception; the tracker is not called again
        self._boxes: list[tuple[float, ...]] = []
        self._statuses: list[str] = []
        self._psr: list[float] = []
        self._confidence: list[float] = []
        self._seconds: list[float] = []
        self._failures: list[Failure] = []

    def feed(self, index: int, frame: Frame) -> float:
        """Passes frame `index` to the tracker and records its result. Returns the seconds that the tracker took."""
        result: Any = None
        problem, seconds = self._error, 0.0
        if problem is None:
            start_time = self._clock()
            try:
                result = self._call_tracker(frame)
            except (Exception, SystemExit) as error:  # an exception of the tracker must not end the evaluation
                problem = self._error = f"{type(error).__name__}: {error}"
            seconds = self._clock() - start_time
        output = TrackerOutput(NO_BOX, problem=problem) if problem else read_output(result)
        self._add_failure(index, output.problem)
        self._boxes.append(output.box if self._boxes else tuple(self._start.box))  # the first box is that of the start
        self._statuses.append(output.status)
        self._psr.append(output.psr)
        self._confidence.append(output.confidence)
        self._seconds.append(seconds)
        return seconds

    def _call_tracker(self, frame: Frame) -> Any:
        if self._boxes:
            return self._tracker.update(frame)
        self._tracker.init(frame, self._start.box)
        return self._start.box

    def _add_failure(self, index: int, what: str | None) -> None:
        if what is None:
            return
        last = self._failures[-1] if self._failures else None
        if last and last.what == what and last.frame + last.frames == index:
            self._failures[-1] = replace(last, frames=last.frames + 1)
        else:
            self._failures.append(Failure(index, what))

    def done(self) -> Pass:
        """The pass over the frames so far."""
        stages = getattr(self._tracker, "stages", None)
        confidence = np.array(self._confidence)
        return Pass(
            self._start.index,
            np.array(self._boxes),
            tuple(self._statuses),
            np.array(self._psr),
            np.array(self._seconds),
            tuple(self._failures),
            stages(len(self._boxes)) if stages else {},
            None if np.isnan(confidence).all() else confidence,
        )


@dataclass(frozen=True)
class TrackerOutput:
    """The result of a tracker for one frame. psr, confidence: NaN if there is none.

    problem: the reason why there is no usable box, or None.
    """

    box: tuple[float, ...]
    status: str = ""
    psr: float = np.nan
    confidence: float = np.nan
    problem: str | None = None


def read_output(result: Any) -> TrackerOutput:
    """Box, status, PSR and confidence of a result of any type. Raises nothing: an unusable result has a `problem`."""
    try:
        values, status, *numbers = (getattr(result, name, None) for name in ("box", "status", "psr", "confidence"))
        box = tuple(float(value) for value in (result if values is None else values))
        psr, confidence = (float(number) if isinstance(number, (int, float)) else np.nan for number in numbers)
        output = TrackerOutput(box, str(status or ""), psr, confidence)
    except Exception as error:
        what = f"returned {result!r:.60}, not a box" if isinstance(error, (TypeError, ValueError)) else repr(error)
        return TrackerOutput(NO_BOX, problem=what)
    if len(box) != 4:
        return replace(output, box=NO_BOX, problem=f"returned {len(box)} numbers, not x, y, w, h")
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return replace(output, box=NO_BOX, problem="returned a box that is not finite or has no size")
    return output


def failures(passes: Sequence[Pass]) -> list[Failure]:
    """All failures of the passes, in order."""
    return [failure for one_pass in passes for failure in one_pass.failures]
