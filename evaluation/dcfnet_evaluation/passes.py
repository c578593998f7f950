"""One pass: a tracker is started in one frame of a sequence and left alone until its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from dcfnet.backend import Frame
from dcfnet.geometry import Box
from numpy.typing import NDArray

from dcfnet_evaluation.protocols import Start, ope
from dcfnet_evaluation.sequences import AnnotatedSequence

BLOCK_FRAMES = 30  # frames that are decoded, then given to one tracker after the other
BLOCK_BYTES = 128 * 2**20  # of decoded frames held at once, whatever their size
NO_BOX = (np.nan,) * 4


class SingleTracker(Protocol):
    """What an evaluation needs of a tracker. What it raises is a failure of its own and is recorded as one."""

    def init(self, frame: Frame, box: Box) -> object:
        """Starts on the target in `box`, 0-based frame pixels."""

    def update(self, frame: Frame) -> Any:
        """The target's box in the next frame: four numbers, or an object with `box`, and perhaps `status` and `psr`."""


@dataclass(frozen=True)
class Failure:
    """What a tracker did wrong, first in frame `frame` of the sequence, counted from 0, and for `frames` frames."""

    frame: int
    what: str
    frames: int = 1


@dataclass(frozen=True)
class Pass:
    """One pass over one sequence, from frame `start` on, N frames.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; the first is the one given; NaN where the tracker gave no
    usable box. statuses: N words, "tracked", "uncertain", "lost", or "" where the tracker does not say. psr: float64
    (N,), NaN where there is none. seconds: float64 (N,), time inside the tracker, decoding left out; the first is
    that of init. stages: the same, float64 (N,) each, of the parts of a frame that could be told apart.
    """

    start: int
    boxes: NDArray[np.float64]
    statuses: tuple[str, ...]
    psr: NDArray[np.float64]
    seconds: NDArray[np.float64]
    failures: tuple[Failure, ...] = ()
    stages: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def whole(self) -> bool:
        """Whether there is one of everything for every frame."""
        columns = (self.statuses, self.psr, self.seconds, *self.stages.values())
        return all(len(column) == len(self.boxes) for column in columns)

    def truth(self, sequence: AnnotatedSequence) -> NDArray[np.float64]:
        """True boxes of the frames of the pass, float64 (N, 4), NaN where the target is absent."""
        return sequence.boxes[self.start :][: len(self.boxes)]


def run_pass(
    tracker: SingleTracker, sequence: AnnotatedSequence, start: Start | None = None, limit: int | None = None
) -> Pass:
    """One tracker from `start` (the first frame and its true box) over `limit` frames, or to the sequence's end.

    Raises SequenceError for a frame that cannot be read, and nothing for what the tracker does.
    """
    return run_passes({"": tracker}, sequence, start, limit)[""]


def run_passes(
    trackers: Mapping[str, SingleTracker],
    sequence: AnnotatedSequence,
    start: Start | None = None,
    limit: int | None = None,
) -> dict[str, Pass]:
    """Several trackers over the same frames, each block of which is decoded once and given to each of them in turn.

    The turns rotate, so that what else the machine does strikes all alike.
    """
    start = start or ope(sequence)[0]
    records = [PassRecorder(name, tracker, start) for name, tracker in trackers.items()]
    for turn, block in enumerate(_blocks(sequence, range(start.index, len(sequence))[:limit])):
        first = turn % len(records)
        for record in records[first:] + records[:first]:
            for index, frame in block:
                record.feed(index, frame.copy())  # a tracker may write into its frame, not into the others'
    return {record.name: record.done() for record in records}


def _blocks(sequence: AnnotatedSequence, indices: Iterable[int]) -> Iterator[list[tuple[int, Frame]]]:
    """The frames, decoded, in blocks that fit into memory."""
    block: list[tuple[int, Frame]] = []
    for index in indices:
        block.append((index, sequence.read(index)))
        if len(block) == BLOCK_FRAMES or sum(frame.nbytes for _, frame in block) > BLOCK_BYTES:
            yield block
            block = []
    if block:
        yield block


class PassRecorder:
    """What one tracker answers during a pass."""

    def __init__(
        self, name: str, tracker: SingleTracker, start: Start, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.name, self._tracker, self._start, self._clock = name, tracker, start, clock
        self._broken: str | None = None  # what it raised: it is not asked again
        self._boxes: list[tuple[float, ...]] = []
        self._statuses: list[str] = []
        self._psr: list[float] = []
        self._seconds: list[float] = []
        self._failures: list[Failure] = []

    def feed(self, index: int, frame: Frame) -> float:
        """Gives the tracker frame `index`, records what it says; returns how long it took, seconds."""
        answer: Any = None
        problem, seconds = self._broken, 0.0
        if problem is None:
            began = self._clock()
            try:
                answer = self._ask(frame)
            except (Exception, SystemExit) as error:  # whatever a tracker raises is its failure, not the evaluation's
                problem = self._broken = f"{type(error).__name__}: {error}"
            seconds = self._clock() - began
        said = Answer(NO_BOX, "", np.nan, problem) if problem else read_answer(answer)
        self._note(index, said.problem)
        self._boxes.append(said.box if self._boxes else tuple(self._start.box))  # the first was given, and counts
        self._statuses.append(said.status)
        self._psr.append(said.psr)
        self._seconds.append(seconds)
        return seconds

    def _ask(self, frame: Frame) -> Any:
        if self._boxes:
            return self._tracker.update(frame)
        self._tracker.init(frame, self._start.box)
        return self._start.box

    def _note(self, index: int, what: str | None) -> None:
        if what is None:
            return
        last = self._failures[-1] if self._failures else None
        if last and last.what == what and last.frame + last.frames == index:
            self._failures[-1] = replace(last, frames=last.frames + 1)
        else:
            self._failures.append(Failure(index, what))

    def done(self) -> Pass:
        """The pass over the frames that were fed."""
        stages = getattr(self._tracker, "stages", None)
        return Pass(
            self._start.index,
            np.array(self._boxes),
            tuple(self._statuses),
            np.array(self._psr),
            np.array(self._seconds),
            tuple(self._failures),
            stages(len(self._boxes)) if stages else {},
        )


@dataclass(frozen=True)
class Answer:
    """What a tracker said of a frame, as far as it can be used; problem: why there is no box, or None."""

    box: tuple[float, ...]
    status: str
    psr: float
    problem: str | None


def read_answer(answer: Any) -> Answer:
    """The four finite numbers of an answer, its status and PSR where it has them. Raises nothing."""
    try:
        values, status, psr = (getattr(answer, name, None) for name in ("box", "status", "psr"))
        box = tuple(float(value) for value in (answer if values is None else values))
        told = str(status or ""), float(psr) if isinstance(psr, (int, float)) else np.nan
    except Exception as error:
        what = f"answered {answer!r:.60}, not a box" if isinstance(error, (TypeError, ValueError)) else repr(error)
        return Answer(NO_BOX, "", np.nan, what)
    if len(box) != 4:
        return Answer(NO_BOX, *told, f"answered {len(box)} numbers, not x, y, w, h")
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return Answer(NO_BOX, *told, "answered a box that is not finite or has no size")
    return Answer(box, *told, None)


def failures(passes: Sequence[Pass]) -> list[Failure]:
    """Everything that went wrong in the passes over a sequence, in their order."""
    return [failure for done in passes for failure in done.failures]
