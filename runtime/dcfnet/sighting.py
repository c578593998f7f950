"""Where targets are seen: a look from where they were, another from where they went, and, when lost, one elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet import dcf
from dcfnet.backend import Where
from dcfnet.geometry import Pairs, chosen, either, limit_centre, on_grid
from dcfnet.pipeline import Pipeline
from dcfnet.response import RESPONSE_SIDE, Peak
from dcfnet.state import TrackState

PLACE_STEP = 0.4  # of a search region, from one place that is looked at to the next: the window hides its outer part
# What a target that is found elsewhere must reach of what it used to have (docs/tuning.md).
FOUND_PSR, FOUND_PEAK = 0.5, 0.75
USUAL_RATE = 0.1  # weight of a frame in what is usual


@dataclass(frozen=True)
class Sighting:
    """Where N targets are seen. centre, size: (N, 2) each, frame pixels. psr: (N,), the lowest of the looks at each."""

    peak: Peak
    centre: Pairs
    size: Pairs
    psr: NDArray[np.float64]

    def put(self, rows: NDArray[np.intp], others: Sighting) -> Sighting:
        """The sightings with those of `rows` replaced."""
        centre, size, psr = (values.copy() for values in (self.centre, self.size, self.psr))
        centre[rows], size[rows], psr[rows] = others.centre, others.size, others.psr
        return Sighting(self.peak.put(rows, others.peak), centre, size, psr)

    def take(self, rows: NDArray[np.bool_]) -> Sighting:
        """The sightings of some targets."""
        return Sighting(self.peak.take(rows), self.centre[rows], self.size[rows], self.psr[rows])


class Looked(Protocol):
    """What is seen where it was looked."""

    def __call__(self, rows: NDArray[np.intp] | None = None) -> Sighting:
        """Of all targets, or those of `rows`. Waits for the device."""


def look(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], regions: Pairs) -> Looked:
    """Looks for N targets from where they were; what is returned tells of them, as of `Filters.detect`.

    frames: as `Backend.frame` gives them. regions: where they are looked for, (N, 2), frame pixels.
    """
    answer = state.filters.detect(pipeline, search_places(pipeline, state, frames, regions))

    def sighting(rows: NDArray[np.intp] | None = None) -> Sighting:
        winner, peak = answer(rows)
        at, size, region = state.centre, state.size, regions
        if rows is not None:
            at, size, region = at[rows], size[rows], region[rows]
        scale = pipeline.scales[winner][:, None]
        shift_in_frame = peak.shift / RESPONSE_SIDE * (region * scale)
        return Sighting(peak, on_grid(at + shift_in_frame), size * scale, peak.psr)

    return sighting


def look_again(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], first: Sighting) -> Sighting:
    """The first look; of targets that have moved far what is seen from there, where that is the higher peak.

    Towards the border of the search region the cosine window leaves little of a target, so that a peak there is low
    and off its place.
    """
    (far,) = either(np.abs(first.centre - state.centre) / state.size > pipeline.config.look_again).nonzero()
    if not len(far):
        return first
    there = state.replace(centre=limit_centre(first.centre, state.frame_size)).take(far)
    second = look(pipeline, there, frames, pipeline.regions(there.size))()
    higher = second.peak.value > first.peak.value[far]
    seen = first.put(far[higher], second.take(higher))
    seen.psr[far] = np.minimum(first.psr[far], second.psr)
    return seen


def look_elsewhere(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], seen: Sighting) -> Sighting:
    """What is seen already; of lost targets, that were not surely seen in the frame before either, what one look
    elsewhere shows, where that is as good as what they used to be.

    Around where each was surely seen last, `search_rings` of places in turns, one a frame.
    """
    config = pipeline.config
    if not config.search_rings or not state.doubtful.any():  # nearly always
        return seen
    rows = np.flatnonzero((state.doubtful > 0) & ((seen.peak.psr < config.min_psr) | unlike(pipeline, state, seen)))
    if not len(rows):
        return seen
    around = places_around(config.search_rings)
    aside = around[(state.doubtful[rows] - 1) % len(around)] * PLACE_STEP * pipeline.regions(state.sure_size[rows])
    centre = limit_centre(on_grid(state.sure_centre[rows] + aside), state.frame_size[rows])
    there = state.take(rows).replace(centre=centre, size=state.sure_size[rows])
    found = look(pipeline, there, frames, pipeline.regions(there.size))()
    (usual_psr, usual_peak), peak = state.usual[rows].T, found.peak.value
    good = (found.psr >= np.maximum(FOUND_PSR * usual_psr, config.sure_psr)) & (peak >= FOUND_PEAK * usual_peak)
    good &= peak > seen.peak.value[rows]
    return seen.put(rows[good], found.take(good)) if good.any() else seen


def places_around(rings: int) -> NDArray[np.float64]:
    """Where to look, (P, 2), (x, y) in steps from the middle: the middle, then each ring, opposite sides in turns."""
    places = [(0.0, 0.0)]
    for ring in range(1, rings + 1):
        for angle in np.arange(4 * ring) * np.pi / (4 * ring):
            x, y = np.cos(angle), np.sin(angle)
            out = ring / max(abs(x), abs(y))  # to the side of a square
            places += [(out * x, out * y), (-out * x, -out * y)]
    return np.array(places)


def search_places(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], regions: Pairs) -> Where:
    """Where the search patches of N targets at S scales lie, N x S of them. regions: those of scale 1, (N, 2)."""
    scales = len(pipeline.scales)
    pyramid = pipeline.stepped(regions[:, None] * pipeline.scales[:, None])  # (N, S, 2)
    sources, centres = np.repeat(state.source, scales), np.repeat(state.centre, scales, axis=0)
    return pipeline.places(frames, sources, centres, pyramid.reshape(-1, 2))


def unlike(pipeline: Pipeline, state: TrackState, seen: Sighting) -> NDArray[np.bool_]:
    """Which targets, (N,), are seen so much worse than usual that something else is seen in their place.

    What covers a target has a peak that stands out as soon as it is learnt: it must not come to that.
    """
    usual_psr, usual_peak = state.usual.T
    least = pipeline.config.min_likeness * usual_psr * usual_peak
    fallen: NDArray[np.bool_] = seen.peak.psr * seen.peak.value < least
    return fallen


def remember(state: TrackState, seen: Sighting, sure: NDArray[np.bool_]) -> TrackState:
    """The state that knows where the targets of `sure`, bool (N,), are and what they are like when they are seen."""
    now = np.empty_like(state.usual)
    now[:, 0], now[:, 1] = seen.peak.psr, seen.peak.value
    rate = np.where(state.usual == 0, 1.0, USUAL_RATE)
    return state.replace(
        sure_centre=chosen(sure, state.centre, state.sure_centre),
        sure_size=chosen(sure, state.size, state.sure_size),
        usual=chosen(sure, dcf.blend(state.usual, now, rate), state.usual),
        doubtful=np.where(sure, 0, state.doubtful + 1),
    )
