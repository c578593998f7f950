"""The typical response of each target, and the tests against it: is the target covered, is something else there?

Typical values are running means over the frames with a confident detection; see `TrackState.typical`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter import dcf
from dcfnet.tracking.decision_rules import TYPICAL_RATE, VISIBLE_AGAIN
from dcfnet.tracking.geometry import select_rows
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import Detection
from dcfnet.tracking.state import TrackState


def unlike(pipeline: Pipeline, state: TrackState, detection: Detection) -> NDArray[np.bool_]:
    """Whether the response is so far below the typical one that it shows another object, bool (N,).

    This test prevents the first update on an occluder. After such an update, the occluder itself gives a clear peak.
    """
    typical_psr, typical_peak, _ = state.typical.T
    threshold = pipeline.config.min_likeness * typical_psr * typical_peak
    below: NDArray[np.bool_] = detection.peak.psr * detection.peak.value < threshold
    return below


def not_found(pipeline: Pipeline, state: TrackState, detection: Detection) -> NDArray[np.bool_]:
    """Whether there is no clear peak, or another object, bool (N,). The box of such a target does not move to it."""
    missing: NDArray[np.bool_] = (detection.peak.psr < pipeline.config.min_psr) | unlike(pipeline, state, detection)
    return missing


def occluded(pipeline: Pipeline, state: TrackState, detection: Detection) -> NDArray[np.bool_]:
    """Whether the target is covered, or the detection is something else: `relative_strength` < `min_strength`.

    For a target that was occluded in the previous frame the threshold is `VISIBLE_AGAIN` times as high. Otherwise the
    filter would learn what covers the target as soon as one frame is above the threshold.
    """
    if not pipeline.config.min_strength:
        return np.zeros(len(state), np.bool_)
    threshold = pipeline.config.min_strength * np.where(state.occluded_frames > 0, VISIBLE_AGAIN, 1.0)
    return relative_strength(state, detection) < threshold


def relative_strength(state: TrackState, detection: Detection) -> NDArray[np.float64]:
    """PSR x peak x likeness, divided by the typical value of each target, (N,); 1 before the first typical value.

    Two filters must agree: the present one gives PSR and peak, that of the first frame gives the likeness.
    """
    peak, typical = detection.peak, state.typical.prod(axis=1)
    return np.where(typical > 0, peak.psr * peak.value * peak.likeness / np.where(typical > 0, typical, 1), 1.0)


def confidence_of(pipeline: Pipeline, state: TrackState, detection: Detection) -> NDArray[np.float64] | None:
    """The confidence of N detections, in [0, 1], (N,); None without a fit.

    state: with the typical response of the frames before, so that a frame does not count twice.
    """
    if pipeline.confidence is None:
        return None
    peak = detection.peak
    return pipeline.confidence(peak.likeness, peak.value, detection.lowest_psr, state.typical)


def record_confident(
    state: TrackState, detection: Detection, confident: NDArray[np.bool_], levels: NDArray[np.float64]
) -> TrackState:
    """The state with position, size, typical response and level of the targets with a confident detection, bool (N,).

    levels: see `Texture`.
    """
    typical = running_response(state.typical, detection, TYPICAL_RATE)
    return state.replace(
        confident_centre=select_rows(confident, state.centre, state.confident_centre),
        confident_size=select_rows(confident, state.size, state.confident_size),
        typical=select_rows(confident, typical, state.typical),
        level=np.where(confident, levels * state.light, state.level),
        frames_since_confident=np.where(confident, 0, state.frames_since_confident + 1),
        skipped=np.where(confident, 0, state.skipped),
    )


def running_response(before: NDArray[np.float64], detection: Detection, rate: float) -> NDArray[np.float64]:
    """Running means (N, 3) of PSR, peak and likeness after a frame. before: those before it, 0 before the first one."""
    peak = detection.peak
    now = np.stack([peak.psr, peak.value, peak.likeness], axis=1)
    means: NDArray[np.float64] = dcf.blend(before, now, np.where(before == 0, 1.0, rate))
    return means
