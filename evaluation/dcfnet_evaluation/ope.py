"""One-pass evaluation: a tracker is started on the first true box of a sequence and left alone until its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.geometry import Box
from dcfnet.result import Result, Status
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import precision, success_auc
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError


class SingleTracker(Protocol):
    """What an evaluation needs of a tracker."""

    def init(self, frame: Frame, box: Box | Sequence[float]) -> None: ...

    def update(self, frame: Frame | None) -> Result: ...


@dataclass(frozen=True)
class Pass:
    """One pass over one sequence.

    boxes: float64 (N, 4), x, y, w, h, 0-based frame pixels; the first is the truth. psr, lost: (N - 1,), one per
    update. seconds: time inside the tracker, decoding left out.
    """

    sequence: AnnotatedSequence
    boxes: NDArray[np.float64]
    psr: NDArray[np.float64]
    lost: NDArray[np.bool_]
    seconds: float

    @property
    def auc(self) -> float:
        """Success AUC, see `metrics.success_auc`."""
        return success_auc(self.boxes, self.sequence.boxes[: len(self.boxes)])

    @property
    def precision(self) -> float:
        """Precision at 20 px, see `metrics.precision`."""
        return precision(self.boxes, self.sequence.boxes[: len(self.boxes)])

    @property
    def fps(self) -> float:
        """Updates a second, the tracker alone."""
        return len(self.psr) / self.seconds if self.seconds else 0.0


def run_ope(tracker: SingleTracker, sequence: AnnotatedSequence, limit: int | None = None) -> Pass:
    """The tracker over the first `limit` frames of the sequence, or all. Raises SequenceError for a missing frame."""
    results, seconds = [], 0.0
    for i, file in enumerate(sequence.frames[:limit]):
        frame = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if frame is None:
            raise SequenceError(f"{file}: not a readable image")
        started = time.perf_counter()
        if i == 0:
            tracker.init(frame, Box(*sequence.boxes[0]))  # type: ignore[arg-type]
        else:
            results.append(tracker.update(frame))  # type: ignore[arg-type]
        seconds += (time.perf_counter() - started) if i else 0.0
    boxes = np.array([sequence.boxes[0], *(tuple(r.box) for r in results)])
    psr = np.array([r.psr for r in results])
    lost = np.array([r.status is Status.LOST for r in results])
    return Pass(sequence, boxes, psr, lost, seconds)
