"""Training pairs: a template patch and a search patch of one target, cut as the tracker cuts them.

Pair number n of a seed is the same pair on every machine and after every resume: all chance comes from (seed, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from dcfnet.cpu import CpuBackend
from dcfnet.geometry import Box, search_region
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dcfnet_train.augment import augment_pair
from dcfnet_train.backbone import MEAN_BGR
from dcfnet_train.images import Image
from dcfnet_train.recipe import Recipe
from dcfnet_train.synthetic import render_pair
from dcfnet_train.videos import Video

MIDDLE = np.zeros(2)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Item n: patches float32 (2, 3, S, S), template and search patch, BGR, mean removed, and shift float32 (2,).

    The target is in the middle of the template patch, and `shift`, (x, y) px, from the middle of the search patch.
    """

    def __init__(self, videos: Sequence[Video], photos: Sequence[Path], recipe: Recipe, count: int) -> None:
        """Raises ValueError when the recipe asks for videos or photographs and there are none."""
        self.videos = [video for video in videos if len(video.usable())]
        self.photos, self.recipe, self.count = photos, recipe, count
        if recipe.synthetic < 1 and not self.videos:
            raise ValueError("no video with a usable box; give --videos, or set synthetic=1 to train on photographs")
        if recipe.synthetic > 0 and not photos:
            raise ValueError(f"synthetic={recipe.synthetic:g} needs photographs; give --photos, or set synthetic=0")
        lengths = np.array([len(video.usable()) for video in self.videos], dtype=np.float64)
        weights = np.sqrt(lengths)  # long videos hold more, but their frames are alike
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
        aside = rng.uniform(-1, 1, size=2) * self.recipe.displacement
        patches = crop_pair(frames, boxes, self.recipe, aside)
        size = np.array(boxes[1].size)
        shift = -aside * size * self.recipe.patch_size / _regions(size, self.recipe)
        return torch.from_numpy(patches), torch.from_numpy(shift.astype(np.float32))

    def _video_pair(self, rng: np.random.Generator) -> tuple[list[Image], list[Box]]:
        video = self.videos[rng.choice(len(self.videos), p=self.weights)]
        usable = video.usable()
        first = rng.choice(usable)
        near = usable[np.abs(video.times[usable] - video.times[first]) <= self.recipe.max_gap]
        pair = [first, rng.choice(near)]
        (template, template_box), (search, search_box) = (video.read(int(i)) for i in pair)
        return [template, search], [template_box, search_box]


def crop_pair(
    frames: Sequence[Image], boxes: Sequence[Box], recipe: Recipe, aside: NDArray[np.float64] = MIDDLE
) -> NDArray[np.float32]:
    """Both patches, float32 (2, 3, S, S), each centred on its box; the second one `aside` (x, y) of its sizes."""
    sizes = np.array([box.size for box in boxes])
    centres = np.array([box.centre for box in boxes]) + [MIDDLE, aside] * sizes
    mean = np.array(MEAN_BGR, dtype=np.float32)
    regions, side = _regions(sizes, recipe), recipe.patch_size
    patches: NDArray[np.float32] = CpuBackend().crop(frames, np.arange(2), centres, regions, side, mean)
    return patches


def _regions(sizes: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    return search_region(sizes, recipe.padding, recipe.squareness)
