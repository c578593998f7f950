"""The denoising objective, for comparison with training through the filter: removes noise from patches.

It uses the same network and the same patches, and a decoder for training only. Only the backbone is deployed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from dcfnet_train.backbone import ARCHITECTURES
from dcfnet_train.recipe import Recipe

STREAM = 1  # part of the seed: the noise of a pair must not repeat the random numbers of its patches


class Decoder(nn.Module):
    """Features (B, C, H, W) -> patches (B, 3, H stride, W stride), grey levels minus mean.

    The decoder is one transposed convolution, so small that the features must contain the information.
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
    """The remaining noise. margin: px at each border of the patch that no feature covers."""

    decoder: Decoder
    margin: int

    def __call__(self, network: nn.Module, pairs: Tensor, clean: Tensor) -> Tensor:
        """Squared error, grey levels^2: mean over the values of a pair, summed over the pairs.

        pairs, clean: float32 (B, 2, 3, S, S), with and without noise.
        """
        decoded = self.decoder(network(pairs.flatten(0, 1))).float()
        inner = slice(self.margin, self.margin + decoded.shape[-1])
        loss: Tensor = ((decoded - clean.flatten(0, 1)[:, :, inner, inner]) ** 2).mean() * len(pairs)
        return loss


class Noised(Dataset[tuple[Tensor, Tensor]]):
    """Item n: the patches of pair n with noise, and without, float32 (2, 3, S, S) each.

    Pair n and its noise are the same after every resume.
    """

    def __init__(self, pairs: Dataset[tuple[Tensor, Tensor]], recipe: Recipe) -> None:
        self.pairs, self.recipe = pairs, recipe

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        clean, _ = self.pairs[index]
        rng = np.random.default_rng((self.recipe.seed, index, STREAM))
        noise = rng.standard_normal(clean.shape, dtype=np.float32) * self.recipe.noise
        return clean + torch.from_numpy(noise), clean
