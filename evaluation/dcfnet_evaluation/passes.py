"""One pass: a tracker is started in one frame of a sequence and left alone until its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from dcfnet.backend import Frame
from dcfnet.geometry import Box
from dcfnet.result import Result, Status
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import precision, success_auc
from dcfnet_evaluation.protocols import Start, ope
from dcfnet_evaluation.sequences import AnnotatedSequence


class SingleTracker(Protocol):
    """What an evaluation needs of a tracker."""

    def init(self, frame: Frame, box: Box | Sequence[float]) -> None: ...

    def update(self, frame: Frame | None) -> Result: ...


@dataclass(frozen=True)
class Pass:
    """One pass over one sequence, from `start` on.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; the first is the one given. psr, lost: (N - 1,), one per
    update. seconds: time inside the tracker, decoding left out.
    """

    sequence: AnnotatedSequence
    start: Start
    boxes: NDArray[np.float64]
    psr: NDArray[np.float64]
    lost: NDArray[np.bool_]
    seconds: float

    @property
    def truth(self) -> NDArray[np.float64]:
        """True boxes of the frames of the pass."""
        return self.sequence.boxes[self.start.index :][: len(self.boxes)]

    @property
    def auc(self) -> float:
        """Success AUC, see `metrics.success_auc`."""
        return success_auc(self.boxes, self.truth)

    @property
    def precision(self) -> float:
        """Precision at 20 px, see `metrics.precision`."""
        return precision(self.boxes, self.truth)


def run_pass(
    tracker: SingleTracker, sequence: AnnotatedSequence, start: Start | None = None, limit: int | None = None
) -> Pass:
    """The tracker from `start` (the first frame and its true box) over `limit` frames, or to the sequence's end.

    Raises SequenceError for a frame that cannot be read.
    """
    start = start or ope(sequence)[0]
    results, seconds = [], 0.0
    for i, index in enumerate(range(start.index, len(sequence.frames))[:limit]):
        frame = sequence.read(index)
        began = time.perf_counter()
        if i == 0:
            tracker.init(frame, start.box)
        else:
            results.append(tracker.update(frame))
        seconds += (time.perf_counter() - began) if i else 0.0
    boxes = np.array([tuple(start.box), *(tuple(r.box) for r in results)])
    psr = np.array([r.psr for r in results])
    lost = np.array([r.status is Status.LOST for r in results])
    return Pass(sequence, start, boxes, psr, lost, seconds)
