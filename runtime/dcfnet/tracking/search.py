"""The search for targets: the first pass, and the second pass from a new position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.backend import Pairs
from dcfnet.devices.filters import PatchPlaces
from dcfnet.devices.records import Outcomes, peak_of, taken
from dcfnet.filter.response import RESPONSE_SIDE, Peak
from dcfnet.io.rectangle import turned_steps
from dcfnet.tracking.geometry import any_true, limit_centre, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState


@dataclass(frozen=True)
class Detection:
    """Where N targets were detected. centre, size: (N, 2), frame pixels.

    lowest_psr: (N,), of the first and the second search pass, or of the redetection if it found the target.
    redetected: bool (N,), whether it did.
    """

    peak: Peak
    centre: Pairs
    size: Pairs
    lowest_psr: NDArray[np.float64]
    redetected: NDArray[np.bool_]

    @classmethod
    def of(cls, outcomes: Outcomes) -> Detection:
        """The detections of a device in a first search pass."""
        arrays = (outcomes["centre"], outcomes["size"], outcomes["psr"], np.zeros(len(outcomes), np.bool_))
        return cls(peak_of(outcomes), *arrays)

    @classmethod
    def concatenate(cls, parts: Sequence[Detection]) -> Detection:
        """The detections of all parts, in order."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]) if name != "peak"
        }
        return cls(Peak.concatenate([part.peak for part in parts]), **arrays)

    def put(self, rows: NDArray[np.intp], others: Detection) -> Detection:
        """The detections, with those of `rows` replaced by `others`."""
        arrays = {name: values.copy() for name, values in vars(self).items() if name != "peak"}
        for name, values in arrays.items():
            values[rows] = getattr(others, name)
        return Detection(self.peak.put(rows, others.peak), **arrays)

    def with_higher(self, rows: NDArray[np.intp], others: Detection) -> tuple[Detection, NDArray[np.intp]]:
        """The detections, those of `rows` replaced where the others have a higher peak, and the rows of these.

        others: a detection for each of `rows`.
        """
        higher = others.peak.value > self.peak.value[rows]
        return self.put(rows[higher], others.take(higher)), rows[higher]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Detection:
        """The detections of some targets."""
        arrays = {name: values[rows] for name, values in vars(self).items() if name != "peak"}
        return Detection(self.peak.take(rows), **arrays)


class PendingDetection(Protocol):
    """A detection that a device may still be computing."""

    def __call__(self, rows: NDArray[np.intp] | None = None) -> Detection:
        """The detections of all targets, or of those in `rows`. Waits for the device."""


def search(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], regions: Pairs) -> PendingDetection:
    """Starts a search pass for N targets around their centres. See `Filters.detect` for when to read the result.

    frames: by source, as `Backend.frame` returns them. regions: search regions (N, 2), frame pixels.
    """
    pending_peaks = state.filters.detect(pipeline, search_places(pipeline, state, frames, regions))

    def detection(rows: NDArray[np.intp] | None = None) -> Detection:
        winner, peak = pending_peaks(rows)
        centre, size, region = state.centre, state.size, regions
        if rows is not None:
            centre, size, region = centre[rows], size[rows], region[rows]
        scale = pipeline.scales[winner][:, None]
        steps = region * scale / RESPONSE_SIDE
        shift_in_frame = peak.shift * steps
        if pipeline.config.rotation_step:
            angle = state.angle if rows is None else state.angle[rows]
            shift_in_frame = (turned_steps(steps, angle) @ peak.shift[..., None])[..., 0]
        redetected = np.zeros(len(centre), np.bool_)
        return Detection(peak, to_centre_grid(centre + shift_in_frame), size * scale, peak.psr, redetected)

    return detection


def second_pass(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], first: Detection) -> Detection:
    """Searches again for targets that moved far, centred on the new position. Returns the better detections.

    The higher peak of the two passes counts. Near the border of the search region the cosine window suppresses the
    target, so its peak there is low and displaced.
    """
    (far,) = any_true(np.abs(first.centre - state.centre) / state.size > pipeline.config.second_pass_distance).nonzero()
    if not len(far):
        return first
    moved = state.replace(centre=limit_centre(first.centre, state.frame_size)).take(far)
    second = search(pipeline, moved, frames, pipeline.search_regions(moved.size))()
    merged, _ = first.with_higher(far, second)
    merged.lowest_psr[far] = np.minimum(first.lowest_psr[far], second.lowest_psr)
    return merged


def search_places(pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], regions: Pairs) -> PatchPlaces:
    """The places of the search patches of N targets, N x S or N (see `FramePrograms`). regions: at scale 1, (N, 2)."""
    if pipeline.patches_per_target == 1:
        return target_places(pipeline, state, frames, regions)
    pyramid = pipeline.to_step_grid(regions[:, None] * pipeline.scales[:, None])  # (N, S, 2)
    return target_places(pipeline, state, frames, pyramid.reshape(-1, 2), len(pipeline.scales))


def target_places(
    pipeline: Pipeline, state: TrackState, frames: Mapping[int, Any], regions: Pairs, each: int = 1
) -> PatchPlaces:
    """The places of `each` patches around each of N targets, in its light and at its angle. regions: (N x each, 2)."""
    targets = state.targets if each == 1 else taken(state.targets, np.repeat(np.arange(len(state)), each))
    angle = targets["angle"] if pipeline.config.rotation_step else None
    return pipeline.patch_places(frames, targets["source"], targets["centre"], regions, targets["light"], angle)
