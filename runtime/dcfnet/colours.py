"""What colours a target has that its surroundings have not: a second answer, beside the filter's.

The filter knows where in the target everything is, and loses what bends or turns. A histogram of colours knows no
places and loses nothing by that, but takes one red thing for another. The two err differently, so that the weighted sum
of their answers errs less than either (Bertinetto et al., Staple, CVPR 2016).

Of every pixel of a search patch the two histograms say how likely it is the target's; the answer for a place is the
mean over all that a target there would cover. What is done a pixel, the backend does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Array, Backend

LEVELS = 16  # of each of the three colours
BINS = LEVELS**3
WIDTH = 256 // LEVELS  # grey levels in one
CORE = 0.8  # of the target's sides: what is within is the target, and hardly ever what shows at the corners of its box
AROUND = 2.0  # of the target's sides: what is within, and outside of the target, are its surroundings
UNSEEN = 1e-3  # share of a histogram that every colour has: one that neither has seen speaks for neither


@dataclass(frozen=True)
class ColourModel:
    """Histograms of patches with the target in their middle, and what they answer.

    mean: float32 (3,), BGR, which patches come without. step: px of the patch from one that is looked at to the
    next, P to a side. parts: int32 (P, P), 1 where a pixel is the target's, 2 where its surroundings', else 0.
    per_pixel: float32 (2, 1), the share of its part that a pixel is. windows: float32 (R, P), means over the target's
    side at every shift of the response, and their transpose. rate: of eq. 13, for a lesson.
    """

    backend: Backend
    mean: Array
    step: int
    parts: Array
    per_pixel: Array
    windows: Array
    windows_across: Array
    rate: float

    @classmethod
    def build(
        cls,
        backend: Backend,
        mean: NDArray[np.float32],
        patch_size: int,
        step: int,
        target_side: float,
        response_side: int,
        rate: float,
    ) -> ColourModel:
        """patch_size: px; target_side: of the target in it, px; response_side: R, places over the same patch."""
        place = np.arange(0, patch_size, step) - (patch_size - 1) / 2  # px from the patch's middle
        away = 2 * np.maximum(np.abs(place), np.abs(place)[:, None]) / target_side
        parts = np.select([away < CORE, (away >= 1) & (away < AROUND)], [1, 2], 0).astype(np.int32)
        per_pixel = 1 / np.array([[np.maximum((parts == part).sum(), 1)] for part in (1, 2)])
        windows = mean_windows(place, step, target_side, np.fft.fftfreq(response_side) * patch_size)
        at = backend.asarray
        return cls(
            *(backend, at(mean), step, at(parts), at(per_pixel.astype(np.float32))),
            *(at(windows), at(np.ascontiguousarray(windows.T)), rate),
        )

    def learn(self, patches: Array) -> Array:
        """Histograms of target and surroundings in patches (N, 3, S, S): float32 (N, 2, BINS), each of sum 1."""
        counts = self.backend.count_colours(patches, self.mean, self.step, self.parts)
        return counts.astype(np.float32) * self.per_pixel

    def blend(self, old: Array, patches: Array) -> Array:
        """The histograms, float32 (N, 2, BINS), blended towards those of patches (N, 3, S, S)."""
        return self.backend.blend(old, self.learn(patches), self.rate)

    def answer(self, patches: Array, histograms: Array) -> Array:
        """How likely the target is at every shift, in [0, 1]: float32 (N, R, R), [0, 0] is shift zero.

        patches: (N, 3, S, S) around where it was; histograms: (N, 2, BINS).
        """
        pixels = self.backend.likelihood(patches, self.mean, self.step, histograms)
        return self.backend.product(self.backend.product(self.windows, pixels), self.windows_across)


def bins_of(patches: NDArray[np.float32], mean: NDArray[np.float32], step: int) -> NDArray[np.int32]:
    """The bin of every `step`th pixel along both axes of patches (N, 3, S, S), int32 (N, P, P). mean: see above."""
    levels = ((patches[:, :, ::step, ::step] + mean[:, None, None]) * (1 / WIDTH)).astype(np.int32)
    bins: NDArray[np.int32] = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    return bins


def likely(histograms: NDArray[np.float32]) -> NDArray[np.float32]:
    """How likely a pixel of each bin is the target's, in [0, 1]: float32 (N, 2, BINS) -> (N, BINS)."""
    table: NDArray[np.float32] = (histograms[:, 0] + UNSEEN / 2) / (histograms.sum(axis=1) + UNSEEN)
    return table


def mean_windows(
    place: NDArray[np.floating[Any]], step: int, target_side: float, shift: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Weights of the mean over a target at every shift, float32 (R, P): of each pixel as much as the target covers.

    place: (P,), where the pixels are, `step` apart; shift: (R,), where the target's middle is; px. What lies outside of
    the patch is left out of the mean.
    """
    low, high = shift - target_side / 2, shift + target_side / 2
    first, last = place - step / 2, place + step / 2
    covered = (np.minimum(high[:, None], last) - np.maximum(low[:, None], first)).clip(0)
    weights: NDArray[np.float32] = (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
