"""Colour histograms of target and surroundings: a second response, which complements that of the filter.

The filter depends on the position of each part of the target, so it fails if the target bends or turns. A histogram
contains no positions and does not fail then, but it confuses objects of the same colour. Their errors differ, so the
weighted sum of both responses has fewer errors than either one (Bertinetto et al., Staple, CVPR 2016).

The two histograms give the probability that a pixel of a search patch belongs to the target. The response at a shift is
the mean of the pixels that the target would cover there. The backend does the work per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.dcf import Array

LEVELS = 16  # bins of each of the three channels
BINS = LEVELS**3
WIDTH = 256 // LEVELS  # grey levels of one bin
CORE = 0.8  # target sizes: pixels inside count as the target; the outer part of its box often shows background
AROUND = 2.0  # target sizes: pixels inside, but outside the box, count as surroundings
UNSEEN = 1e-3  # UNSEEN / 2 is added to each bin, so that a colour in neither histogram has probability 0.5


class ColourBackend(Protocol):
    """The operations of a device for colours; see `devices.backend.Backend`."""

    def asarray(self, values: NDArray[np.generic]) -> Array: ...

    def along_both_axes(self, left: Array, maps: Array, right: Array) -> Array: ...

    def blend(self, old: Array, new: Array, rate: float) -> Array: ...

    def count_colours(self, patches: Array, mean: Array, step: int, parts: Array) -> Array: ...

    def likelihood(self, patches: Array, mean: Array, step: int, histograms: Array) -> Array: ...


@dataclass(frozen=True)
class ColourModel:
    """Histograms of patches with the target in the middle, and the response of the colours.

    mean: float32 (3,), BGR, subtracted from patches. step: patch pixels from one counted pixel to the next, P per side.
    parts: int32 (P, P), 1 for pixels of the target, 2 for pixels of its surroundings, else 0. per_pixel: float32 (2,
    1), 1 / number of pixels of part 1 and of part 2. windows: float32 (R, P), means over the target's side at each
    shift of the response; windows_across: their transpose. rate: beta of eq. 13 for one update.
    """

    backend: ColourBackend
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
        backend: ColourBackend,
        mean: NDArray[np.float32],
        patch_size: int,
        step: int,
        target_side: float,
        response_side: int,
        rate: float,
    ) -> ColourModel:
        """patch_size, target_side: sides of the patch and of the target in it, px. response_side: R."""
        position = np.arange(0, patch_size, step) - (patch_size - 1) / 2  # px from the middle of the patch
        distance = (
            2 * np.maximum(np.abs(position), np.abs(position)[:, None]) / target_side
        )  # 1 at the border of the target
        parts = np.select([distance < CORE, (distance >= 1) & (distance < AROUND)], [1, 2], 0).astype(np.int32)
        per_pixel = 1 / np.array([[np.maximum((parts == part).sum(), 1)] for part in (1, 2)])
        windows = mean_windows(position, step, target_side, np.fft.fftfreq(response_side) * patch_size)
        place = backend.asarray
        return cls(
            *(backend, place(mean), step, place(parts), place(per_pixel.astype(np.float32))),
            *(place(windows), place(np.ascontiguousarray(windows.T)), rate),
        )

    def histograms(self, patches: Array) -> Array:
        """Patches (N, 3, S, S) -> histograms of target and surroundings, float32 (N, 2, BINS), the sum of each is 1."""
        counts = self.backend.count_colours(patches, self.mean, self.step, self.parts)
        return counts.astype(np.float32) * self.per_pixel

    def blend(self, old: Array, patches: Array) -> Array:
        """Histograms (N, 2, BINS), blended towards those of patches (N, 3, S, S)."""
        return self.backend.blend(old, self.histograms(patches), self.rate)

    def response(self, patches: Array, histograms: Array) -> Array:
        """The probability of the target at each shift, in [0, 1]: float32 (N, R, R), [0, 0] is shift zero.

        patches: (N, 3, S, S), search patches at scale 1. histograms: (N, 2, BINS).
        """
        pixels = self.backend.likelihood(patches, self.mean, self.step, histograms)
        return self.backend.along_both_axes(self.windows, pixels, self.windows_across)


def bins_of(patches: NDArray[np.float32], mean: NDArray[np.float32], step: int) -> NDArray[np.int32]:
    """Patches (N, 3, S, S) -> the bin of each `step`th pixel along both axes, int32 (N, P, P). mean: float32 (3,)."""
    levels = ((patches[:, :, ::step, ::step] + mean[:, None, None]) * (1 / WIDTH)).astype(np.int32)
    bins: NDArray[np.int32] = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    return bins


def target_probability(histograms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histograms (N, 2, BINS) -> probability that a pixel of each bin belongs to the target: float32 (N, BINS)."""
    table: NDArray[np.float32] = (histograms[:, 0] + UNSEEN / 2) / (histograms.sum(axis=1) + UNSEEN)
    return table


def mean_windows(
    position: NDArray[np.floating[Any]], step: int, target_side: float, shift: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Weights of the mean over the target at each shift, float32 (R, P): the covered share of each pixel.

    position: (P,), px, the counted pixels, `step` apart. shift: (R,), px, the middle of the target. Pixels outside the
    patch do not count.
    """
    low, high = shift - target_side / 2, shift + target_side / 2
    first, last = position - step / 2, position + step / 2
    covered = (np.minimum(high[:, None], last) - np.maximum(low[:, None], first)).clip(0)
    weights: NDArray[np.float32] = (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
