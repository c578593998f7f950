"""The search for targets: the first pass, the second pass from a new position, and redetection of lost targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.devices.filters import PatchPlaces
from dcfnet.filter import dcf
from dcfnet.filter.response import RESPONSE_SIDE, Peak
from dcfnet.tracking.geometry import any_true, limit_centre, select_rows, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState

# Distance of two redetection positions / search region. It is below 1 because the cosine window hides the outer part.
REDETECTION_STEP = 0.4
# A redetected target must reach these shares of its typical PSR and peak (docs/tuning.md).
REDETECTED_PSR, REDETECTED_PEAK = 0.5, 0.75
TYPICAL_RATE = 0.1  # weight of a frame in the typical PSR and peak


@dataclass(frozen=True)
class Detection:
    """Where N targets were detected. centre, size: (N, 2), frame pixels.

    lowest_psr: (N,), of the first and the second search pass, or of the redetection if it found the target.
    """

    peak: Peak
    centre: Pairs
    size: Pairs
    lowest_psr: NDArray[np.float64]

    def put(self, rows: NDArray[np.intp], others: Detection) -> Detection:
        """The detections, with those of `rows` replaced by `others`."""
        centre, size, lowest_psr = (values.copy() for values in (self.centre, self.size, self.lowest_psr))
        centre[rows], size[rows], lowest_psr[rows] = others.centre, others.size, others.lowest_psr
        return Detection(self.peak.put(rows, others.peak), centre, size, lowest_psr)

    def take(self, rows: NDArray[np.bool_]) -> Detection:
        """The detections of some targets."""
        return Detection(self.peak.take(rows), self.centre[rows], self.size[rows], self.lowest_psr[rows])


class PendingDetection(Protocol):
    """A detection that a device may still be computing."""

    def __call__(self, rows: NDArray[np.intp] | None = None) -> Detection:
        """The detections of all targets, or of those in `rows`. Waits for the device."""


def search(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], regions: Pairs) -> PendingDetection:
    """Starts a search pass for N targets around their centres. See `Filters.detect` for when to read the result.

    frames: as `Backend.frame` returns them. regions: search regions (N, 2), frame pixels.
    """
    pending_peaks = state.filters.detect(pipeline, search_places(pipeline, state, frames, regions))

    def detection(rows: NDArray[np.intp] | None = None) -> Detection:
        winner, peak = pending_peaks(rows)
        centre, size, region = state.centre, state.size, regions
        if rows is not None:
            centre, size, region = centre[rows], size[rows], region[rows]
        scale = pipeline.scales[winner][:, None]
        shift_in_frame = peak.shift / RESPONSE_SIDE * (region * scale)
        return Detection(peak, to_centre_grid(centre + shift_in_frame), size * scale, peak.psr)

    return detection


def second_pass(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], first: Detection) -> Detection:
    """Searches again for targets that moved far, centred on the new position. Returns the better detections.

    The higher peak of the two passes counts. Near the border of the search region the cosine window suppresses the
    target, so its peak there is low and displaced.
    """
    (far,) = any_true(np.abs(first.centre - state.centre) / state.size > pipeline.config.second_pass_distance).nonzero()
    if not len(far):
        return first
    moved = state.replace(centre=limit_centre(first.centre, state.frame_size)).take(far)
    second = search(pipeline, moved, frames, pipeline.search_regions(moved.size))()
    higher = second.peak.value > first.peak.value[far]
    merged = first.put(far[higher], second.take(higher))
    merged.lowest_psr[far] = np.minimum(first.lowest_psr[far], second.lowest_psr)
    return merged


def redetect(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], detection: Detection) -> Detection:
    """Searches for lost targets at one more position. Returns the detections, replaced where this search succeeded.

    Only targets without a confident detection in the previous frame are searched. The positions are rings around the
    last confident one, one per frame. A search succeeds if its response is close to the target's typical one.
    """
    config = pipeline.config
    if not config.redetection_rings or not state.frames_since_confident.any():  # nearly always
        return detection
    lost = (detection.peak.psr < config.min_psr) | unlike(pipeline, state, detection)
    rows = np.flatnonzero((state.frames_since_confident > 0) & lost)
    if not len(rows):
        return detection
    offsets = redetection_offsets(config.redetection_rings)
    turn = (state.frames_since_confident[rows] - 1) % len(offsets)
    shift = offsets[turn] * REDETECTION_STEP * pipeline.search_regions(state.confident_size[rows])
    centre = limit_centre(to_centre_grid(state.confident_centre[rows] + shift), state.frame_size[rows])
    there = state.take(rows).replace(centre=centre, size=state.confident_size[rows])
    found = search(pipeline, there, frames, pipeline.search_regions(there.size))()
    (typical_psr, typical_peak), peak = state.typical[rows].T, found.peak.value
    accepted = found.lowest_psr >= np.maximum(REDETECTED_PSR * typical_psr, config.confident_psr)
    accepted &= (peak >= REDETECTED_PEAK * typical_peak) & (peak > detection.peak.value[rows])
    return detection.put(rows[accepted], found.take(accepted)) if accepted.any() else detection


def redetection_offsets(rings: int) -> NDArray[np.float64]:
    """Redetection places, (P, 2), (x, y) in steps: the middle, then each ring, opposite sides in turn."""
    places = [(0.0, 0.0)]
    for ring in range(1, rings + 1):
        for angle in np.arange(4 * ring) * np.pi / (4 * ring):
            x, y = np.cos(angle), np.sin(angle)
            distance = ring / max(abs(x), abs(y))  # the ring is a square
            places += [(distance * x, distance * y), (-distance * x, -distance * y)]
    return np.array(places)


def search_places(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], regions: Pairs) -> PatchPlaces:
    """The places of the search patches of N targets, N x S or N (see `FramePrograms`). regions: at scale 1, (N, 2)."""
    scales = len(pipeline.scales)
    if pipeline.patches_per_target == 1:
        return pipeline.patch_places(frames, state.source, state.centre, regions)
    pyramid = pipeline.to_step_grid(regions[:, None] * pipeline.scales[:, None])  # (N, S, 2)
    sources, centres = np.repeat(state.source, scales), np.repeat(state.centre, scales, axis=0)
    return pipeline.patch_places(frames, sources, centres, pyramid.reshape(-1, 2))


def unlike(pipeline: Pipeline, state: TrackState, detection: Detection) -> NDArray[np.bool_]:
    """Whether the response is so far below the typical one that it shows another object, bool (N,).

    This test prevents the first update on an occluder. After such an update, the occluder itself gives a clear peak.
    """
    typical_psr, typical_peak = state.typical.T
    threshold = pipeline.config.min_likeness * typical_psr * typical_peak
    below: NDArray[np.bool_] = detection.peak.psr * detection.peak.value < threshold
    return below


def record_confident(state: TrackState, detection: Detection, confident: NDArray[np.bool_]) -> TrackState:
    """The state with position, size and typical response of the targets with a confident detection, bool (N,)."""
    now = np.empty_like(state.typical)
    now[:, 0], now[:, 1] = detection.peak.psr, detection.peak.value
    rate = np.where(state.typical == 0, 1.0, TYPICAL_RATE)
    return state.replace(
        confident_centre=select_rows(confident, state.centre, state.confident_centre),
        confident_size=select_rows(confident, state.size, state.confident_size),
        typical=select_rows(confident, dcf.blend(state.typical, now, rate), state.typical),
        frames_since_confident=np.where(confident, 0, state.frames_since_confident + 1),
    )
