"""What a frame passes through, and its two array programs over N targets: *detect* and *learn*, of steps.py.

Both are pure: arrays of the backend in, arrays out, and no look at what they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dcfnet.backbones import Backbone, taken_by
from dcfnet.backend import Array, Backend, Where
from dcfnet.colours import ColourModel
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.filters import ArrayFilters
from dcfnet.fourier import Transform, band_of_label, label_spectrum
from dcfnet.geometry import Pairs, on_steps, scale_pyramid, search_region
from dcfnet.learning import Learning
from dcfnet.response import RESPONSE_SIDE
from dcfnet.spatial import SpatialPenalty
from dcfnet.turns import Turns
from dcfnet.windows import cosine_window


@dataclass(frozen=True)
class Pipeline:
    """Everything a frame passes through that is no state: made once, shared by all targets.

    mean: float32 (3,), BGR. scales: float64 (S,), the pyramid.
    learning: of the filters. colours: None where they have no say.
    raw: what the backbone takes has the mean in it still, (3, 1, 1); None where it takes patches without.
    dtype: of the patches, float32 or float16, and of `raw`: as the backbone would rather have them.
    turns: of the trackers upon it, whose calls run one at a time.
    """

    config: TrackerConfig
    backend: Backend
    backbone: Backbone
    mean: NDArray[np.float32]
    transform: Transform
    learning: Learning
    scales: NDArray[np.float64]
    colours: ColourModel | None = None
    raw: Array | None = None
    dtype: DTypeLike = np.float32
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
        label_f = backend.asarray(label_spectrum(side, sigma, band))
        scales, penalty, colours = scale_pyramid(config.scales, config.scale_step), None, None
        if config.background_penalty:
            weights = (config.background_penalty, config.lesson_penalty())
            reach = config.filter_reach_in_patch() / stride
            penalty = SpatialPenalty.build(side, band, reach, *weights, config.solver_steps, *at)
        if config.colour_share:
            sizes = (config.patch_size, stride, config.target_side(), RESPONSE_SIDE)
            colours = ColourModel.build(backend, mean, *sizes, config.lesson_colour_rate())
        dtype = taken_by(backbone)
        raw = backend.asarray(mean[:, None, None].astype(dtype)) if "mean" in folded else None
        learning = backend.learning(label_f, config.lesson_rate(), config.regularisation, penalty)
        return cls(config, backend, backbone, mean, transform, learning, scales, colours, raw, dtype)

    def regions(self, size: Pairs) -> Pairs:
        """Search regions of targets of these sizes, (..., 2) each, frame pixels."""
        return self.stepped(search_region(size, self.config.padding, self.config.squareness))

    def stepped(self, regions: Pairs) -> Pairs:
        """The nearest regions that patches are cut from."""
        return on_steps(regions, self.config.patch_size)

    def places(self, frames: Sequence[Any], sources: NDArray[np.intp], centres: Pairs, regions: Pairs) -> Where:
        """Where M patches lie, for the array programs."""
        return self.backend.places(frames, sources, centres, regions, self.config.patch_size)

    def spectrum(self, where: Where) -> Array:
        """Spectrum of the windowed features of M patches: complex64 (M, C, K, B+1)."""
        return self._seen(where, 0)[0]

    def _seen(self, where: Where, every: int) -> tuple[Array, Array | None]:
        """Spectrum of M patches, and the middle patch of each `every` of them where colours have a say.

        Patches go through the backbone some at a time, and are not kept.
        """
        size, spectra, middle = self.config.patch_size, [], []
        for part in np.array_split(np.arange(len(where)), -(-len(where) // self.backend.patches_at_once)):
            first, last = int(part[0]), int(part[-1]) + 1
            patches = self.backend.cut(where[first:last], size, self.mean, self.dtype)
            start = (every // 2 - first) % every if every else last  # of the first middle patch among these
            if self.colours is not None and first + start < last:
                middle.append(patches[start::every])
            patches = patches if self.raw is None else patches + self.raw
            spectra.append(self.transform.forward(self.backbone(patches)))
        return self.backend.joined(spectra), self.backend.joined(middle) if middle else None

    def responses(self, where: Where, filters: ArrayFilters) -> tuple[Array, Array]:
        """The program *detect* but for reading, of N x S patches (steps 2 to 4): float32 (N, S, R, R), twice.

        What the filters answer, and that with the colours' answer in it, which is the same at every scale.
        """
        scales = len(self.scales)
        search_f, middle = self._seen(where, scales)
        search_f = search_f.reshape(len(filters), scales, *search_f.shape[1:])  # (N, S, C, K, B+1)
        maps = self.transform.inverse(self.backend.respond(search_f, filters.filter_f))
        if self.colours is None or middle is None:
            return maps, maps
        answer = self.colours.answer(middle, filters.colours)[:, None]  # (N, 1, R, R)
        return maps, self.backend.blend(maps, answer, self.config.colour_share)

    def first_lesson(self, where: Where) -> ArrayFilters:
        """Filters of N targets learnt from N patches alone."""
        template_f, patches = self._seen(where, 1)
        learnt = self.learning.first(template_f)
        if self.colours is None or patches is None:
            return ArrayFilters(*learnt, self.backend.asarray(np.zeros((len(where), 2, 1), np.float32)))
        return ArrayFilters(*learnt, self.colours.learn(patches))

    def lesson(self, where: Where, filters: ArrayFilters) -> ArrayFilters:
        """The program *learn*: the filters of N targets blended towards what N patches show (step 6)."""
        template_f, patches = self._seen(where, 1)
        learnt = self.learning.next(template_f, filters)
        if self.colours is None or patches is None:
            return ArrayFilters(*learnt, filters.colours)
        return ArrayFilters(*learnt, self.colours.blend(filters.colours, patches))
