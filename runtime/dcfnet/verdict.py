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

    def verdicts(self) -> list[tuple[Status, Reason]]:
        """Status and reason of each target."""
        each = (self.clear, self.alike, self.in_view, self.sure, self.at_limit)
        return [_verdict(*row) for row in zip(*(answers.tolist() for answers in each), strict=True)]


def _verdict(clear: bool, alike: bool, in_view: bool, sure: bool, at_limit: bool) -> tuple[Status, Reason]:
    if not clear:
        return Status.LOST, Reason.LOW_PSR
    if not in_view:
        return Status.LOST, Reason.OUT_OF_VIEW
    if not alike:
        return Status.LOST, Reason.UNLIKE
    if not sure:
        return Status.UNCERTAIN, Reason.LOW_PSR
    return Status.TRACKED, Reason.SCALE_LIMIT if at_limit else Reason.FOUND


def results(state: TrackState, peak: Peak, findings: Findings) -> list[Result]:
    """A result per target."""
    numbers = zip(peak.value.tolist(), peak.psr.tolist(), peak.apce.tolist(), strict=True)
    each = zip(state.boxes(), numbers, findings.verdicts(), strict=True)
    return [Result(box, *told, *verdict) for box, told, verdict in each]


def lost(box: Box, reason: Reason | None) -> Result:
    """Of a target that was not looked for."""
    return Result(box, 0.0, 0.0, 0.0, Status.LOST, reason or Reason.LOW_PSR)


def mark(result: Result, reason: Reason) -> Result:
    """The result with another reason, if it was simply found."""
    if result.reason is not Reason.FOUND:
        return result
    return Result(result.box, result.peak, result.psr, result.apce, result.status, reason)
