"""Training pairs: a template patch and a search patch of one target, cropped as in the tracker.

All random numbers of pair n come from (seed, n). Pair n is the same on every machine and after every resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from dcfnet.devices.cpu import CpuBackend
from dcfnet.result import Box
from dcfnet.tracking.geometry import search_region
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dcfnet_train.backbone import MEAN_BGR
from dcfnet_train.footage.images import Image
from dcfnet_train.footage.videos import Video
from dcfnet_train.pairs.augment import augment_pair
from dcfnet_train.pairs.synthetic import render_pair
from dcfnet_train.recipe import Recipe

MIDDLE = np.zeros(2)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Item n: template and search patch, float32 (2, 3, S, S), BGR minus mean, and shift, float32 (2,).

    The target is at the centre of the template patch. shift: (x, y) of the target from the centre of the search patch,
    px of the patch.
    """

    def __init__(self, videos: Sequence[Video], photos: Sequence[Path], recipe: Recipe, count: int) -> None:
        """Raises ValueError if the recipe needs videos or photos and there are none."""
        self.videos = [video for video in videos if len(video.usable())]
        self.photos, self.recipe, self.count = photos, recipe, count
        if recipe.synthetic < 1 and not self.videos:
            raise ValueError(
                "no video with a usable box; give --videos, or train on photographs alone with --set synthetic=1"
            )
        if recipe.synthetic > 0 and not photos:
            raise ValueError(
                f"synthetic={recipe.synthetic:g}: this share of the pairs is rendered from photographs; give --photos, "
                "or --set synthetic=0"
            )
        lengths = np.array([len(video.usable()) for video in self.videos], dtype=np.float64)
        weights = np.sqrt(lengths)  # a long video has more frames, but they are similar
        self.weights = weights / max(weights.sum(), 1)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.recipe.seed, index))
        if rng.random() < self.recipe.synthetic:
            frames, boxes = render_pair(rng, self.photos)
        else:
            frames, boxes = self._video_pair(rng)
        if self.recipe.augment:
            frames, boxes = augment_pair(rng, frames, boxes)
        offset = rng.uniform(-1, 1, size=2) * self.recipe.displacement
        patches = crop_pair(frames, boxes, self.recipe, offset)
        size = np.array(boxes[1].size)
        shift = -offset * size * self.recipe.patch_size / _regions(size, self.recipe)
        return torch.from_numpy(patches), torch.from_numpy(shift.astype(np.float32))

    def _video_pair(self, rng: np.random.Generator) -> tuple[list[Image], list[Box]]:
        video = self.videos[rng.choice(len(self.videos), p=self.weights)]
        usable = video.usable()
        first = rng.choice(usable)
        candidates = usable[np.abs(video.times[usable] - video.times[first]) <= self.recipe.max_gap]
        pair = [first, rng.choice(candidates)]
        (template, template_box), (search, search_box) = (video.read(int(i)) for i in pair)
        return [template, search], [template_box, search_box]


def crop_pair(
    frames: Sequence[Image], boxes: Sequence[Box], recipe: Recipe, aside: NDArray[np.float64] = MIDDLE
) -> NDArray[np.float32]:
    """Template and search patch, float32 (2, 3, S, S), centred on the boxes.

    aside: (x, y), offset of the search patch from its box / box size.
    """
    sizes = np.array([box.size for box in boxes])
    centres = np.array([box.centre for box in boxes]) + [MIDDLE, aside] * sizes
    mean = np.array(MEAN_BGR, dtype=np.float32)
    regions, side = _regions(sizes, recipe), recipe.patch_size
    patches: NDArray[np.float32] = CpuBackend().crop(
        dict(enumerate(frames)), np.arange(2), centres, regions, side, mean
    )
    return patches


def _regions(sizes: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    return search_region(sizes, recipe.padding, recipe.squareness)
