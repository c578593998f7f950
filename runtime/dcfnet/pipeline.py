"""From frames to boxes: the six steps of a frame, as two functions over N targets.

    1  frame     checked, and put where the backend takes it: what is no frame, or shows nothing, moves no state
    2  patches   all targets x scales cut out in one call, mean taken off
    3  search_f  forward(backbone(patches)): the transform of fourier.py, the cosine window within
    4  response  inverse(respond(search_f, filter_f)), its peaks to the host: the only sync
    5  geometry  signed shift in the response -> in the patch -> in the frame; scale; size; centre; where the target has
                 moved far, 2 to 5 once more from there
    6  learn     crop at the new place, spectrum, blend (eq. 13), solve

One target is N = 1, not another path; several cameras are one batch, because every target carries its source. A
preset may learn in some frames only: which, is counted per target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet import dcf
from dcfnet.admission import admit, follow_resolution, rejections
from dcfnet.backbones import Backbone
from dcfnet.backend import Array, Backend, Where
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.filters import ArrayFilters
from dcfnet.fourier import Transform, band_of_label, label_spectrum
from dcfnet.geometry import Box, Pairs, limit_centre, limit_size, scale_pyramid, search_region
from dcfnet.pixels import frame_size
from dcfnet.response import RESPONSE_SIDE, Peak
from dcfnet.result import Reason, Result
from dcfnet.spatial import SpatialPenalty
from dcfnet.state import TrackState
from dcfnet.turns import Turns
from dcfnet.verdict import Findings, lost, mark, results
from dcfnet.windows import cosine_window


@dataclass(frozen=True)
class Pipeline:
    """Everything a frame passes through that is no state: made once, shared by all targets.

    mean: float32 (3,), BGR. label_f: float32 (K, B+1) on the backend. scales: float64 (S,), the pyramid.
    penalty: upon what a filter has outside the target; None for the closed form of eq. 2.
    raw: what the backbone takes has the mean in it still, float32 (3, 1, 1); None where it takes patches without.
    turns: of the trackers upon it, whose calls run one at a time.
    """

    config: TrackerConfig
    backend: Backend
    backbone: Backbone
    mean: NDArray[np.float32]
    transform: Transform
    label_f: Array
    scales: NDArray[np.float64]
    penalty: SpatialPenalty | None = None
    raw: Array | None = None
    turns: Turns = field(default_factory=Turns, compare=False)

    @classmethod
    def build(
        cls,
        config: TrackerConfig,
        backend: Backend,
        backbone: Backbone,
        mean: NDArray[np.float32],
        stride: int = 1,
        folded: Sequence[str] = (),
    ) -> Pipeline:
        """The pipeline of a config; stride: pixels of the patch per pixel of the backbone's features.

        folded: what the backbone does itself, see `Model`.

        Raises ConfigError for a patch size that is no multiple of the stride.
        """
        side, rest = divmod(config.patch_size, stride)
        if rest:
            raise ConfigError(f"patch_size={config.patch_size}: must be a multiple of the model's stride, {stride}")
        sigma = config.label_sigma_in_patch() / stride  # in pixels of the map
        band = band_of_label(side, sigma, config.band)
        window = np.ones(side) if "window" in folded else cosine_window(side)
        at = (backend.asarray, backend.product)
        transform = Transform.build(side, band, RESPONSE_SIDE, window, *at)
        label_f = label_spectrum(side, sigma, band)
        scales, penalty = scale_pyramid(config.scales, config.scale_step), None
        if config.background_penalty:
            reach, weight = config.filter_reach_in_patch() / stride, config.background_penalty
            penalty = SpatialPenalty.build(side, label_f, reach, weight, config.solver_steps, *at)
        raw = backend.asarray(mean[:, None, None]) if "mean" in folded else None
        return cls(config, backend, backbone, mean, transform, backend.asarray(label_f), scales, penalty, raw)

    def places(self, frames: Sequence[Any], sources: NDArray[np.intp], centres: Pairs, regions: Pairs) -> Where:
        """Where M patches lie, for the array programs."""
        return self.backend.places(frames, sources, centres, regions, self.config.patch_size)

    def spectrum(self, where: Where) -> Array:
        """Spectrum of the windowed features of M patches: complex64 (M, C, K, B+1)."""
        size, spectra = self.config.patch_size, []
        for part in np.array_split(np.arange(len(where)), -(-len(where) // self.backend.patches_at_once)):
            patches = self.backend.cut(where[int(part[0]) : int(part[-1]) + 1], size, self.mean)
            patches = patches if self.raw is None else patches + self.raw
            spectra.append(self.transform.forward(self.backbone(patches)))
        return self.backend.joined(spectra)

    def responses(self, where: Where, filters: ArrayFilters) -> Array:
        """The program *detect* but for reading: float32 (N, S, R, R) of N x S patches (steps 2 to 4)."""
        search_f = self.spectrum(where)
        search_f = search_f.reshape(len(filters), len(self.scales), *search_f.shape[1:])  # (N, S, C, K, B+1)
        response_f = dcf.respond(search_f, filters.filter_f[:, None])
        return self.transform.inverse(response_f[:, :, 0])

    def lesson(self, where: Where, filters: ArrayFilters) -> ArrayFilters:
        """The program *learn*: the filters of N targets blended towards what N patches show (step 6)."""
        numerator, denominator = dcf.learn(self.spectrum(where), self.label_f)
        rate = self.config.lesson_rate()
        numerator = dcf.blend(filters.numerator, numerator, rate)
        denominator = dcf.blend(filters.denominator, denominator, rate)
        return ArrayFilters(numerator, denominator, *self.solve(numerator, denominator, filters.focused_f))

    def solve(self, numerator: Array, denominator: Array, start: Array | None = None) -> tuple[Array, Array]:
        """The filter that N targets are looked for with, and the focused one in it, complex64 (N, C, K, B+1) each.

        The filter of eq. 2 knows the surroundings, the focused one the target, and their mean errs less than either
        (docs/tuning.md). start: the focused one of the lesson before. Without a penalty both are eq. 2.
        """
        closed = dcf.solve(numerator, denominator, self.config.regularisation)
        if self.penalty is None:
            return closed, closed
        focused = self.penalty.solve(numerator, denominator, self.config.regularisation, start)
        return (closed + focused) * 0.5, focused


def init(pipeline: Pipeline, frames: Sequence[Any], boxes: Sequence[Box], sources: Sequence[int]) -> TrackState:
    """State of N targets, each learnt from its box in frames[source]. Boxes must have been checked.

    Raises InvalidFrameError.
    """
    frames = [pipeline.backend.frame(frame) for frame in frames]
    source = np.asarray(sources, dtype=np.intp)
    centre = np.array([box.centre for box in boxes])
    size = np.array([box.size for box in boxes])
    sizes = np.array([frame_size(frames[i]) for i in source], dtype=np.float64)
    where = pipeline.places(frames, source, centre, search_region(size, pipeline.config.padding))
    numerator, denominator = dcf.learn(pipeline.spectrum(where), pipeline.label_f)
    learnt = ArrayFilters(numerator, denominator, *pipeline.solve(numerator, denominator))
    filters = pipeline.backend.remember(pipeline, learnt)
    return TrackState(centre, size, size.copy(), sizes, source, np.zeros_like(source), filters)


def step(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, list[Result]]:
    """One frame of every source: the state after it, and a result per target. Consumes the state.

    frames[source] may be anything: what is no frame, or shows nothing, gives LOST with the reason and moves no bit of
    the target's state.
    """
    admitted = admit(pipeline.backend, frames, state.source)
    seen, changed = follow_resolution(state, admitted)
    rejected = rejections(pipeline.backend, pipeline.config.padding, seen, admitted)
    said = [lost(box, reason) for box, reason in zip(seen.boxes(), rejected, strict=True)]
    rows = np.flatnonzero([reason is None for reason in rejected])
    if not len(rows):
        return state, said
    moved, found = _track(pipeline, seen.take(rows), admitted)
    for row, result in zip(rows, found, strict=True):
        said[row] = mark(result, Reason.RESOLUTION_CHANGED) if changed[row] else result
    return state.put(rows, moved), said


def _track(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> tuple[TrackState, list[Result]]:
    """Steps 2 to 6 for targets whose frames show something."""
    config = pipeline.config
    seen = _look_again(pipeline, state, frames, _look(pipeline, state, frames))
    inside = limit_centre(seen.centre, state.frame_size)
    limited = limit_size(seen.size, state.initial_size, state.frame_size, (config.min_scale, config.max_scale))
    in_view = (inside == seen.centre).all(axis=1)
    clear = (seen.peak.psr >= config.min_psr) & (seen.peak.psr > 0)
    # A response that shows no target moves nothing; a target that leaves is followed to the border.
    state = state.replace(
        centre=np.where(clear[:, None], inside, state.centre),
        size=np.where((clear & in_view)[:, None], limited, state.size),
    )
    lesson = state.updates % config.learn_every == config.learn_every - 1
    state = learn(pipeline, state, frames, np.flatnonzero(clear & in_view & lesson))
    # Two looks are two chances for something else to look clear: who was looked for twice must have been sure twice.
    findings = Findings(clear, in_view, seen.psr >= config.sure_psr, (limited != seen.size).any(axis=1))
    return state.replace(updates=state.updates + 1), results(state, seen.peak, findings)


@dataclass(frozen=True)
class Sighting:
    """Where N targets are seen. centre, size: (N, 2) each, frame pixels. psr: (N,), the lowest of the looks at each."""

    peak: Peak
    centre: Pairs
    size: Pairs
    psr: NDArray[np.float64]


def _look(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Sighting:
    """Where N targets are seen from where they were."""
    winner, peak = state.filters.detect(pipeline, _search_places(pipeline, state, frames))
    return Sighting(peak, *_move(pipeline, state, peak.shift, winner), peak.psr)


def _look_again(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], first: Sighting) -> Sighting:
    """The first look; of targets that have moved far what is seen from there, where that is the higher peak.

    Towards the border of the search region the cosine window leaves little of a target, so that a peak there is low
    and off its place.
    """
    share = np.abs(first.centre - state.centre) / state.size
    far = np.flatnonzero((share > pipeline.config.look_again).any(axis=1))
    if not len(far):
        return first
    there = state.replace(centre=limit_centre(first.centre, state.frame_size)).take(far)
    second = _look(pipeline, there, frames)
    higher = second.peak.value > first.peak.value[far]
    rows, (centre, size, psr) = far[higher], (values.copy() for values in (first.centre, first.size, first.psr))
    centre[rows], size[rows] = second.centre[higher], second.size[higher]
    psr[far] = np.minimum(psr[far], second.psr)
    return Sighting(first.peak.put(rows, second.peak.take(higher)), centre, size, psr)


def detect(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Array:
    """Responses of N targets at S scales: float32 (N, S, R, R) on the backend (steps 2 to 4).

    frames: as `Backend.frame` gives them, and so for all that follows step 1.
    """
    return pipeline.responses(_search_places(pipeline, state, frames), state.filters.arrays)


def _search_places(pipeline: Pipeline, state: TrackState, frames: Sequence[Any]) -> Where:
    """Where the search patches of N targets at S scales lie, N x S of them."""
    scales = len(pipeline.scales)
    regions = search_region(state.size, pipeline.config.padding)[:, None] * pipeline.scales[:, None]  # (N, S, 2)
    sources, centres = np.repeat(state.source, scales), np.repeat(state.centre, scales, axis=0)
    return pipeline.places(frames, sources, centres, regions.reshape(-1, 2))


def learn(pipeline: Pipeline, state: TrackState, frames: Sequence[Any], rows: NDArray[np.intp]) -> TrackState:
    """The state with the filters of `rows` blended towards their targets' present look."""
    if not len(rows):
        return state
    part = state.take(rows)
    where = pipeline.places(frames, part.source, part.centre, search_region(part.size, pipeline.config.padding))
    return state.put(rows, part.replace(filters=part.filters.learn(pipeline, where)))


def _move(
    pipeline: Pipeline, state: TrackState, shift_in_response: Pairs, winner: NDArray[np.intp]
) -> tuple[Pairs, Pairs]:
    """Centre and size, (N, 2) each, frame pixels, that the peaks speak of (step 5)."""
    scale = pipeline.scales[winner][:, None]
    region_in_frame = search_region(state.size, pipeline.config.padding) * scale
    shift_in_frame = shift_in_response / RESPONSE_SIDE * region_in_frame
    return state.centre + shift_in_frame, state.size * scale
