"""What is said of a target after a frame: the words of a Result from what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.geometry import Box
from dcfnet.response import Peak
from dcfnet.result import Reason, Result, Status
from dcfnet.state import TrackState


@dataclass(frozen=True)
class Findings:
    """What was found of N targets, bool (N,) each: a peak stands out; it is like what the target's used to be; the
    target is in the frame; the peak stands out enough to be sure; its size ran into a limit.
    """

    clear: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    in_view: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    at_limit: NDArray[np.bool_]

    def verdict(self, row: int) -> tuple[Status, Reason]:
        """Status and reason of one target."""
        if not self.clear[row]:
            return Status.LOST, Reason.LOW_PSR
        if not self.in_view[row]:
            return Status.LOST, Reason.OUT_OF_VIEW
        if not self.alike[row]:
            return Status.LOST, Reason.UNLIKE
        if not self.sure[row]:
            return Status.UNCERTAIN, Reason.LOW_PSR
        return Status.TRACKED, Reason.SCALE_LIMIT if self.at_limit[row] else Reason.FOUND


def results(state: TrackState, peak: Peak, findings: Findings) -> list[Result]:
    """A result per target."""
    return [
        Result(box, float(peak.value[i]), float(peak.psr[i]), float(peak.apce[i]), *findings.verdict(i))
        for i, box in enumerate(state.boxes())
    ]


def lost(box: Box, reason: Reason | None) -> Result:
    """Of a target that was not looked for."""
    return Result(box, 0.0, 0.0, 0.0, Status.LOST, reason or Reason.LOW_PSR)


def mark(result: Result, reason: Reason) -> Result:
    """The result with another reason, if it was simply found."""
    if result.reason is not Reason.FOUND:
        return result
    return Result(result.box, result.peak, result.psr, result.apce, result.status, reason)
