"""The processing of a frame: constants, backbone, transform and filter rule, and the two array programs on N targets.

Both programs are pure: arrays of the backend in, arrays out. They never read a value on the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.config import TrackerConfig
from dcfnet.devices.backend import Angles, Backend, Light, Pairs
from dcfnet.devices.filters import ArrayFilters, PatchPlaces
from dcfnet.filter.colour_histogram import ColourModel
from dcfnet.filter.dcf import Array
from dcfnet.filter.response import RESPONSE_SIDE, Peak
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import SpectralTransform, band_of_label, label_spectrum, placed
from dcfnet.filter.update import FilterUpdate
from dcfnet.filter.windows import cosine_window
from dcfnet.model.backbone import Backbone, as_backbone
from dcfnet.model.confidence import Confidence
from dcfnet.model.file import NO_FILE, FeatureLevel, ModelIdentity
from dcfnet.tracking.decision_rules import decision_rules
from dcfnet.tracking.geometry import scale_pyramid, search_region, to_step_grid
from dcfnet.tracking.levels import label_sigmas, shares_of_levels
from dcfnet.tracking.patch_sizes import check_sizes
from dcfnet.tracking.transforms import transform_of_scale
from dcfnet.tracking.work_queue import WorkQueue


@dataclass(frozen=True)
class Pipeline:
    """What all targets of a tracker share. It is created once and does not change.

    mean: float32 (3,), BGR. scales: float64 (S,), the scale pyramid. transform: of the maps at scale 1.
    scaled: the transforms of one map for all scales; (): each scale has a patch of its own. colours: None if colours
    are off.
    unsubtracted_mean: float32 or float16 (3, 1, 1), added to patches for a backbone that subtracts the mean itself;
    else None. patch_dtype: float32 or float16. model: the file of the backbone. queue: runs the calls of all trackers
    on this pipeline one at a time.
    """

    config: TrackerConfig
    backend: Backend
    backbone: Backbone
    mean: NDArray[np.float32]
    transform: SpectralTransform
    filter_update: FilterUpdate
    scales: NDArray[np.float64]
    scaled: tuple[SpectralTransform, ...] = ()
    colours: ColourModel | None = None
    unsubtracted_mean: Array | None = None
    patch_dtype: DTypeLike = np.float32
    confidence: Confidence | None = None
    model: ModelIdentity = NO_FILE
    queue: WorkQueue = field(default_factory=WorkQueue, compare=False)

    @classmethod
    def build(
        cls,
        config: TrackerConfig,
        backend: Backend,
        backbone: Backbone | Callable[[Array], Array],
        mean: NDArray[np.float32],
        stride: int = 1,
        folded: Sequence[str] = (),
        levels: Sequence[FeatureLevel] = (),
        confidence: Confidence | None = None,
    ) -> Pipeline:
        """The pipeline of a config.

        backbone: a backbone, or any function from patches to features. stride: patch pixels per feature.
        folded: parts that the backbone computes itself, levels: channels with a filter of their own, confidence: of
        the results; see `Model`.
        Raises ConfigError if the patch size or the margin does not fit the stride, or the margin the scales.
        """
        scales = scale_pyramid(config.scales, config.scale_step)
        check_sizes(config, stride, folded, float(scales[-1]))
        side, margin = config.search_side() // stride, config.margin // stride
        backbone = as_backbone(backbone)
        sigmas = [sigma / stride for sigma in label_sigmas(config, levels)]  # map pixels
        band = band_of_label(side, min(sigmas), config.band)
        window = np.ones(side) if "window" in folded else cosine_window(side)
        operations = (backend.asarray, backend.matmul)
        of_scale = partial(transform_of_scale, config.transform, backend, (side, band, RESPONSE_SIDE), window, margin)
        scaled = tuple(of_scale(float(scale)) for scale in scales) if margin else ()
        transform = scaled[len(scales) // 2] if scaled else of_scale(1.0)
        labels = np.stack([label_spectrum(side, sigma, band) for sigma in sigmas])[:, None]  # (L, 1, K, B+1)
        penalty, colours, unsubtracted = None, None, None
        if config.background_penalty:
            weights = (config.background_penalty, config.temporal_penalty_per_update())
            reach = config.filter_reach_in_patch() / stride
            penalty = SpatialPenalty.build(side, band, reach, *weights, config.solver_steps, *operations)
        if config.colour_share:
            sizes = (config.search_side(), stride, config.target_side(), RESPONSE_SIDE)
            colours = ColourModel.build(backend, mean, *sizes, config.colour_rate_per_update())
        if "mean" in folded:
            unsubtracted = backend.asarray(mean[:, None, None].astype(backbone.input_dtype))
        label_f = backend.asarray(labels if levels else labels[0, 0])
        rates = (config.rate_per_update(), config.regularisation)
        update = backend.filter_update(label_f, *rates, penalty, shares_of_levels(backend, levels))
        dtype = backbone.input_dtype
        arrays = (transform, update, scales, scaled, colours, unsubtracted, dtype)
        return cls(config, backend, backbone, mean, *arrays, confidence)

    @property
    def patches_per_target(self) -> int:
        """See `FramePrograms`."""
        return 1 if self.scaled else len(self.scales)

    @property
    def scale_penalty(self) -> float:
        """See `FramePrograms`."""
        return self.config.scale_penalty

    @cached_property
    def rules(self) -> NDArray[np.void]:
        """See `FramePrograms`."""
        return decision_rules(self.config, self.scales, self.patches_per_target, self.confidence)

    def for_capture(self, backbone: Backbone | None) -> Pipeline:
        """See `FramePrograms`."""
        transform, scaled = self.transform.for_capture(), tuple(each.for_capture() for each in self.scaled)
        return dataclasses.replace(self, backbone=backbone or self.backbone, transform=transform, scaled=scaled)

    def search_regions(self, size: Pairs) -> Pairs:
        """Search regions of targets of these sizes, (..., 2) each, frame pixels."""
        return self.to_step_grid(search_region(size, self.config.padding, self.config.squareness))

    def largest_regions(self, size: Pairs) -> Pairs:
        """See `FramePrograms`."""
        scale = 1.0 if self.patches_per_target == 1 else float(self.scales[-1])
        return self.patch_regions(self.to_step_grid(self.search_regions(size) * scale))

    def to_step_grid(self, regions: Pairs) -> Pairs:
        """The nearest regions that patches can be cropped from; see `geometry.to_step_grid`."""
        return to_step_grid(regions, self.config.search_side())

    def patch_places(
        self,
        frames: Mapping[int, Any],
        sources: NDArray[np.intp],
        centres: Pairs,
        regions: Pairs,
        light: Light = None,
        angle: Angles = None,
    ) -> PatchPlaces:
        """The places of the M patches of these search regions. Other arguments as for `Backend.patch_places`."""
        size = self.config.patch_size
        return self.backend.patch_places(frames, sources, centres, self.patch_regions(regions), size, light, angle)

    def patch_regions(self, regions: Pairs) -> Pairs:
        """Search regions (..., 2) -> the regions of their patches, which include the margin."""
        whole: Pairs = regions * (self.config.patch_size / self.config.search_side()) if self.config.margin else regions
        return whole

    def spectrum(self, places: PatchPlaces) -> Array:
        """Spectrum of the windowed features of M patches: complex64 (M, C, K, B+1)."""
        return self._spectra_and_patches(places, 0)[0]

    def _spectra_and_patches(
        self, places: PatchPlaces, group: int, scaled: Sequence[SpectralTransform] = ()
    ) -> tuple[Array, Array | None]:
        """Spectra of M patches, and the middle patch of each `group` of them if colours are on and group > 0.

        scaled: transforms of one map for S scales. Spectra are then (M, S, C, K, B+1), else (M, C, K, B+1).

        The backbone gets `patches_per_call` patches at a time; other patches are not kept. Patches for the colours have
        no margin.
        """
        size, margin, middle, spectra = self.config.patch_size, self.config.margin, list[Array](), None
        inner = slice(margin, size - margin)
        for part in np.array_split(np.arange(len(places)), -(-len(places) // self.backend.patches_per_call)):
            first, last = int(part[0]), int(part[-1]) + 1
            patches = self.backend.sample_patches(places[first:last], size, self.mean, self.patch_dtype)
            start = (group // 2 - first) % group if group else last  # index of the first middle patch in this part
            if self.colours is not None and first + start < last:
                middle.append(patches[start::group, :, inner, inner] if margin else patches[start::group])
            patches = patches if self.unsubtracted_mean is None else patches + self.unsubtracted_mean
            features = self.backbone(patches)
            if last - first == len(places):
                spectra = self._spectra(features, scaled, None)
                break
            if spectra is None:
                shape = (len(places), *([len(scaled)] if scaled else []), features.shape[1])
                spectra = self.backend.empty((*shape, *self.filter_update.label_f.shape[-2:]), np.complex64)
            self._spectra(features, scaled, spectra[first:last])
        return spectra, self.backend.concatenate(middle) if middle else None

    def _spectra(self, features: Array, scaled: Sequence[SpectralTransform], into: Array | None) -> Array:
        """The spectra of maps (M, C, H, H), in `into` if that is given. scaled: see `_spectra_and_patches`."""
        if scaled:
            return placed(self.backend.stack([each.forward(features) for each in scaled]), into)
        return self.transform.forward(features, into)

    def responses(self, places: PatchPlaces, filters: ArrayFilters) -> tuple[Array, Array, Array]:
        """The program *detect* without its readout (steps 2 to 4): float32 (N, S, R, R) twice, and (N, 1, R, R).

        The first maps are the filters' responses. The second include the response of the colours, which is the same at
        every scale; without colours both are one array. The third are the responses of the first filters at scale 1.
        """
        search_f, middle = self._spectra_and_patches(places, self.patches_per_target, self.scaled)
        search_f = search_f.reshape(len(filters), len(self.scales), *search_f.shape[-3:])  # (N, S, C, K, B+1)
        both = self.transform.inverse(self.backend.respond(search_f, filters.filter_f, filters.first_f))
        count = len(filters) * len(self.scales)
        maps, first_maps = both[:count].reshape(len(filters), len(self.scales), *both.shape[1:]), both[count:, None]
        if self.colours is None or middle is None:
            return maps, maps, first_maps
        colour_maps = self.colours.response(middle, filters.colours)[:, None]  # (N, 1, R, R)
        return maps, self.backend.blend(maps, colour_maps, self.config.colour_share), first_maps

    def read_peaks(self, maps: Array, position_maps: Array, first_maps: Array) -> tuple[NDArray[np.intp], Peak]:
        """See `FramePrograms`."""
        return self.backend.read_peaks(maps, position_maps, first_maps, self.scale_penalty)

    def initial_filters(self, places: PatchPlaces) -> ArrayFilters:
        """Filters of N targets, learnt from the template patches of `rotation.first_templates` alone."""
        count = len(self.config.template_turns())
        template_f, patches = self._spectra_and_patches(places, count)
        solution = self.filter_update.initial(template_f, count)
        if self.colours is None or patches is None:
            colours = self.backend.asarray(np.zeros((len(places) // count, 2, 1), np.float32))
        else:
            colours = self.colours.histograms(patches)
        return ArrayFilters(*solution, colours, first_f=solution.filter_f, first_colours=colours)

    def updated_filters(self, places: PatchPlaces, filters: ArrayFilters) -> ArrayFilters:
        """The program *update*: the filters of N targets, blended towards N template patches (step 6)."""
        template_f, patches = self._spectra_and_patches(places, 1)
        solution = self.filter_update.updated(template_f, filters.solution)
        first = (filters.first_f, filters.first_colours)
        if self.colours is None or patches is None:
            return ArrayFilters(*solution, filters.colours, *first)
        return ArrayFilters(*solution, self.colours.blend(filters.colours, patches), *first)
