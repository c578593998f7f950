"""The objective that learning through the filter is held against: noise taken off patches, nothing tracked.

The same network and the same patches, and a decoder that only training needs; what is deployed is the backbone alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from dcfnet_train.backbone import ARCHITECTURES
from dcfnet_train.recipe import Recipe

STREAM = 1  # of the chance of a pair: its noise draws from another stream than its patches


class Decoder(nn.Module):
    """Features (B, C, H, W) -> patches (B, 3, H stride, W stride), grey levels with the mean taken off.

    One transposed convolution: so little that what is learnt must be in the features.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        channels, stride = ARCHITECTURES[recipe.architecture].channels[-1], recipe.stride
        self.transposed = nn.ConvTranspose2d(channels, 3, stride + 2, stride, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        patches: Tensor = self.transposed(features)
        return patches


@dataclass(frozen=True)
class DenoisingLoss:
    """What is left of the noise. margin: px of each border of the patch that no feature sees."""

    decoder: Decoder
    margin: int

    def __call__(self, network: nn.Module, pairs: Tensor, wanted: Tensor) -> Tensor:
        """Squared error, grey levels^2, mean over the values of a pair, summed over the pairs.

        pairs, wanted: float32 (B, 2, 3, S, S), noised and clean.
        """
        made = self.decoder(network(pairs.flatten(0, 1))).float()
        seen = slice(self.margin, self.margin + made.shape[-1])
        loss: Tensor = ((made - wanted.flatten(0, 1)[:, :, seen, seen]) ** 2).mean() * len(pairs)
        return loss


class Noised(Dataset[tuple[Tensor, Tensor]]):
    """Item n: the patches of pair n with noise on them, and as they are, float32 (2, 3, S, S) both.

    The noise of pair n is the same after every resume, as the pair is.
    """

    def __init__(self, pairs: Dataset[tuple[Tensor, Tensor]], recipe: Recipe) -> None:
        self.pairs, self.recipe = pairs, recipe

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        clean, _ = self.pairs[index]
        rng = np.random.default_rng((self.recipe.seed, index, STREAM))
        noise = rng.standard_normal(clean.shape, dtype=np.float32) * self.recipe.noise
        return clean + torch.from_numpy(noise), clean
