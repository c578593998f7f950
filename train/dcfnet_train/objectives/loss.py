"""The training loss: the filter of a template patch locates the target in a search patch (eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from dcfnet.filter.windows import cosine_window, gaussian_label
from torch import Tensor, nn

from dcfnet_train.backbone import ARCHITECTURES
from dcfnet_train.objectives.correlation_filter import correlation_filter
from dcfnet_train.recipe import Recipe


class Loss(Protocol):
    """A scalar loss, summed over the pairs.

    pairs: float32 (B, 2, 3, S, S). supervision: the second part of each item of the data set: shifts or clean patches.
    """

    def __call__(self, network: nn.Module, pairs: Tensor, supervision: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class PairLoss:
    """The tracking loss of a recipe.

    label: float32 (H, W), for the filter, with its peak at [0, 0]; H = W = (patch_size - 2 margin) / stride.
    window: float32 (H, W), the cosine window of the tracker, or ones. sigma: std of the label, cells of the map.
    """

    label: Tensor
    window: Tensor
    sigma: float
    stride: int
    regularisation: float

    @classmethod
    def of(cls, recipe: Recipe) -> PairLoss:
        """The loss with label and window for the unpadded features of a recipe."""
        side = (recipe.patch_size - 2 * ARCHITECTURES[recipe.architecture].margin()) // recipe.stride
        sigma = recipe.tracker_config().label_sigma_in_patch() / recipe.stride
        hann = torch.from_numpy(cosine_window(side)).float()
        window = torch.outer(hann, hann) if recipe.window else torch.ones(side, side)
        label = torch.from_numpy(gaussian_label(side, side, sigma))
        return cls(label, window, sigma, recipe.stride, recipe.regularisation)

    def to(self, device: torch.device) -> PairLoss:
        """A copy on another device."""
        return replace(self, label=self.label.to(device), window=self.window.to(device))

    def __call__(self, network: nn.Module, pairs: Tensor, shifts: Tensor) -> Tensor:
        """Eq. 4 without weight decay: squared error, summed over the response map and the pairs.

        pairs: float32 (B, 2, 3, S, S), template and search patches. shifts: float32 (B, 2), (x, y) of the target in
        the search patch, px of the patch from its centre.
        """
        count = len(pairs)
        # float32 from here, for every precision of the convolutions: energies overflow in half precision.
        features = network(pairs.transpose(0, 1).flatten(0, 1)).float() * self.window  # (2B, C, H, W)
        response = correlation_filter(features[:count], features[count:], self.label, self.regularisation)
        loss: Tensor = ((response - self.wanted(shifts)) ** 2).sum()
        return loss

    def wanted(self, shifts: Tensor) -> Tensor:
        """The desired responses: the label moved by each shift, with wrap-around, float32 (B, 1, H, W)."""
        side = len(self.label)
        shift_in_map = shifts[:, :, None] / self.stride  # (B, 2, 1)
        distance = (
            torch.arange(side, device=shifts.device) - shift_in_map + side / 2
        ) % side - side / 2  # (B, 2, side)
        across, down = torch.exp(-0.5 * (distance / self.sigma) ** 2).unbind(1)
        return (down[:, :, None] * across[:, None, :])[:, None]
