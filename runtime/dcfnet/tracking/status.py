"""The status of a target after a frame: from what the search found to a `Result`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.records import Outcomes, results_of
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracking.search import Detection

STATUSES, REASONS = tuple(Status), tuple(Reason)


@dataclass(frozen=True)
class Evidence:
    """The facts that decide the status of N targets, bool (N,) each.

    clear: the peak reaches `min_psr`. in_view: the centre is inside the frame. similar: the response is like the
    target's typical one (`min_likeness`). visible: not occluded (`min_strength`). lasting: occluded for more than
    `lost_after` frames. doubtful: the confidence was below `lost_confidence` for more than `lost_after` frames.
    confident: the peak reaches `confident_psr`. probable: the confidence reaches `min_confidence`. redetected: found by
    redetection. at_size_limit: the size reached a limit.
    """

    clear: NDArray[np.bool_]
    in_view: NDArray[np.bool_]
    similar: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    lasting: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    confident: NDArray[np.bool_]
    probable: NDArray[np.bool_]
    redetected: NDArray[np.bool_]
    at_size_limit: NDArray[np.bool_]

    def statuses(self) -> list[tuple[Status, Reason]]:
        """Status and reason of each target."""
        names, columns = vars(self).keys(), (column.tolist() for column in vars(self).values())
        return [_status(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _status(
    clear: bool,
    in_view: bool,
    similar: bool,
    visible: bool,
    lasting: bool,
    doubtful: bool,
    confident: bool,
    probable: bool,
    redetected: bool,
    at_size_limit: bool,
) -> tuple[Status, Reason]:
    """The rule of `lost` and `uncertain`: the first line that holds counts."""
    rules = (
        (not clear, Status.LOST, Reason.LOW_PSR),
        (not in_view, Status.LOST, Reason.OUT_OF_VIEW),
        (not similar, Status.LOST, Reason.UNLIKE),
        (lasting, Status.LOST, Reason.OCCLUDED),
        (doubtful, Status.LOST, Reason.LOW_CONFIDENCE),
        (not visible, Status.UNCERTAIN, Reason.OCCLUDED),
        (not confident, Status.UNCERTAIN, Reason.LOW_PSR),
        (not probable, Status.UNCERTAIN, Reason.LOW_CONFIDENCE),
        (redetected, Status.TRACKED, Reason.REDETECTED),
        (at_size_limit, Status.TRACKED, Reason.SCALE_LIMIT),
    )
    return next(((status, reason) for holds, status, reason in rules if holds), (Status.TRACKED, Reason.FOUND))


def searched_results(
    boxes: Sequence[Box], detection: Detection, evidence: Evidence, confidence: NDArray[np.float64] | None
) -> list[Result]:
    """Results of targets that were searched for. confidence: (N,), or None without a fit."""
    peak = detection.peak
    numbers = zip(peak.value.tolist(), detection.lowest_psr.tolist(), peak.apce.tolist(), strict=True)
    beliefs = zip(
        peak.likeness.tolist(), [None] * len(boxes) if confidence is None else confidence.tolist(), strict=True
    )
    rows = zip(boxes, numbers, evidence.statuses(), beliefs, strict=True)
    return [Result(box, *measures, *status, *belief) for box, measures, status, belief in rows]


class _Unlocked:
    """A result before it is frozen. It has the slots of `Result`, so it can become one.

    The constructor of a frozen class takes twice as long.
    """

    __slots__ = Result.__slots__

    def __init__(
        self,
        box: Box,
        peak: float,
        psr: float,
        apce: float,
        status: Status,
        reason: Reason,
        likeness: float,
        confidence: float | None,
    ) -> None:
        self.box, self.peak, self.psr, self.apce = box, peak, psr, apce
        self.status, self.reason, self.likeness, self.confidence = status, reason, likeness, confidence


def decided_results(outcomes: Outcomes, with_confidence: bool) -> list[Result]:
    """Results of targets that a device decided about. with_confidence: the model has a fit for it."""
    results: list[Any] = []
    for x, y, w, h, value, psr, apce, likeness, belief, status, reason in results_of(outcomes):
        box = tuple.__new__(Box, (x, y, w, h))  # as `Box`, in half the time
        confidence = belief if with_confidence else None
        result = _Unlocked(box, value, psr, apce, STATUSES[status], REASONS[reason], likeness, confidence)
        result.__class__ = Result  # type: ignore[assignment]
        results.append(result)
    return results


def rejected_results(boxes: Sequence[Box], reasons: Sequence[Reason | None], with_confidence: bool) -> list[Result]:
    """Results of targets whose frames were rejected. with_confidence: the model has a fit for it."""
    confidence = 0.0 if with_confidence else None
    rows = zip(boxes, reasons, strict=True)
    return [Result(box, 0, 0, 0, Status.LOST, reason or Reason.LOW_PSR, 0, confidence) for box, reason in rows]


def with_reason(result: Result, reason: Reason) -> Result:
    """The result with another reason, if its reason is `found`."""
    return replace(result, reason=reason) if result.reason is Reason.FOUND else result
