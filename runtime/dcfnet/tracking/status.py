"""The status of a target after a frame: from what the search found to a `Result`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.response import Peak
from dcfnet.result import Box, Reason, Result, Status


@dataclass(frozen=True)
class Evidence:
    """The facts that decide the status of N targets, bool (N,) each.

    clear: the peak reaches `min_psr`. similar: the response is like the target's typical one (`min_likeness`).
    in_view: the centre is inside the frame. confident: the peak reaches `confident_psr`.
    at_size_limit: the size reached a limit.
    """

    clear: NDArray[np.bool_]
    similar: NDArray[np.bool_]
    in_view: NDArray[np.bool_]
    confident: NDArray[np.bool_]
    at_size_limit: NDArray[np.bool_]

    def statuses(self) -> list[tuple[Status, Reason]]:
        """Status and reason of each target."""
        columns = (self.clear, self.similar, self.in_view, self.confident, self.at_size_limit)
        return [_status(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _status(clear: bool, similar: bool, in_view: bool, confident: bool, at_size_limit: bool) -> tuple[Status, Reason]:
    """The rule of `lost` and `uncertain`."""
    if not clear:
        return Status.LOST, Reason.LOW_PSR
    if not in_view:
        return Status.LOST, Reason.OUT_OF_VIEW
    if not similar:
        return Status.LOST, Reason.UNLIKE
    if not confident:
        return Status.UNCERTAIN, Reason.LOW_PSR
    return Status.TRACKED, Reason.SCALE_LIMIT if at_size_limit else Reason.FOUND


def searched_results(boxes: Sequence[Box], peak: Peak, evidence: Evidence) -> list[Result]:
    """Results of targets that were searched for."""
    numbers = zip(peak.value.tolist(), peak.psr.tolist(), peak.apce.tolist(), strict=True)
    rows = zip(boxes, numbers, evidence.statuses(), strict=True)
    return [Result(box, *measures, *status) for box, measures, status in rows]


def rejected_result(box: Box, reason: Reason | None) -> Result:
    """The result of a target that was not searched for: its frame was rejected."""
    return Result(box, 0.0, 0.0, 0.0, Status.LOST, reason or Reason.LOW_PSR)


def with_reason(result: Result, reason: Reason) -> Result:
    """The result with another reason, if its reason is `found`."""
    return replace(result, reason=reason) if result.reason is Reason.FOUND else result
