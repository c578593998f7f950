"""What is said of a target after a frame: the words of a Result from what was found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import TrackerConfig
from dcfnet.geometry import Box
from dcfnet.response import Peak
from dcfnet.result import Reason, Result, Status
from dcfnet.state import TrackState


def results(
    config: TrackerConfig,
    state: TrackState,
    peak: Peak,
    clear: NDArray[np.bool_],
    in_view: NDArray[np.bool_],
    at_limit: NDArray[np.bool_],
) -> list[Result]:
    """A result per target. clear, in_view, at_limit: bool (N,), as `step` found them."""
    said = []
    for i, box in enumerate(state.boxes()):
        psr = float(peak.psr[i])
        if not clear[i]:
            verdict = Status.LOST, Reason.LOW_PSR
        elif not in_view[i]:
            verdict = Status.LOST, Reason.OUT_OF_VIEW
        elif psr < config.sure_psr:
            verdict = Status.UNCERTAIN, Reason.LOW_PSR
        else:
            verdict = Status.TRACKED, Reason.SCALE_LIMIT if at_limit[i] else Reason.FOUND
        said.append(Result(box, float(peak.value[i]), psr, float(peak.apce[i]), *verdict))
    return said


def lost(box: Box, reason: Reason | None) -> Result:
    """Of a target that was not looked for."""
    return Result(box, 0.0, 0.0, 0.0, Status.LOST, reason or Reason.LOW_PSR)


def mark(result: Result, reason: Reason) -> Result:
    """The result with another reason, if it was simply found."""
    if result.reason is not Reason.FOUND:
        return result
    return Result(result.box, result.peak, result.psr, result.apce, result.status, reason)
