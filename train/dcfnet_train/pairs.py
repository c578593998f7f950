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


class Pairs(Dataset[Tensor]):
    """Item n: float32 (2, 3, S, S), template and search patch, BGR, mean removed, the target in the middle of both."""

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

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng((self.recipe.seed, index))
        if rng.random() < self.recipe.synthetic:
            frames, boxes = render_pair(rng, self.photos)
        else:
            frames, boxes = self._video_pair(rng)
        if self.recipe.augment:
            frames, boxes = augment_pair(rng, frames, boxes)
        return torch.from_numpy(crop_pair(frames, boxes, self.recipe))

    def _video_pair(self, rng: np.random.Generator) -> tuple[list[Image], list[Box]]:
        video = self.videos[rng.choice(len(self.videos), p=self.weights)]
        usable = video.usable()
        first = rng.choice(usable)
        near = usable[np.abs(video.times[usable] - video.times[first]) <= self.recipe.max_gap]
        pair = [first, rng.choice(near)]
        (template, template_box), (search, search_box) = (video.read(int(i)) for i in pair)
        return [template, search], [template_box, search_box]


def crop_pair(frames: Sequence[Image], boxes: Sequence[Box], recipe: Recipe) -> NDArray[np.float32]:
    """Both patches, float32 (2, 3, S, S), each centred on its box."""
    centres = np.array([box.centre for box in boxes])
    regions = search_region(np.array([box.size for box in boxes]), recipe.padding)
    mean = np.array(MEAN_BGR, dtype=np.float32)
    patches: NDArray[np.float32] = CpuBackend().crop(frames, np.arange(2), centres, regions, recipe.patch_size, mean)
    return patches
