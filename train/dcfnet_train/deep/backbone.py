"""The deep network. It projects and normalises each level of `Stages`, and concatenates them to one map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcfnet_train.deep.stages import Stages, channels_of, stride_of

SMALLEST_ENERGY = 1e-6  # keeps the features of flat patches finite


@dataclass(frozen=True)
class DeepArchitecture:
    """Shape of a deep network.

    levels: indices into LITE0, in ascending order. channels: number of channels of each level after its projection.
    stride: patch pixels per feature of the joint map.
    """

    levels: tuple[int, ...]
    channels: tuple[int, ...]
    stride: int


DEEP: dict[str, DeepArchitecture] = {
    "deep": DeepArchitecture((2, 4), (32, 32), 4),
}
# The side of a patch must be a multiple of it. Otherwise the enlarged maps of the levels do not have the same size.
COARSEST_STRIDE = max(stride_of(architecture.levels[-1]) for architecture in DEEP.values())


class EnergyNorm(nn.Module):
    """Divides features (B, C, H, W), at each position, by the square root of their energy summed over the channels."""

    def forward(self, features: Tensor) -> Tensor:
        energy = (features * features).sum(dim=1, keepdim=True)
        return features / torch.sqrt(energy + SMALLEST_ENERGY)


class DeepBackbone(nn.Module):
    """Patches float32 (B, 3, S, S), BGR, mean subtracted -> features (B, C, S / stride, S / stride).

    C is the sum of the levels' channels. Each level has a 1 x 1 projection, and unit energy at each position. Coarser
    maps are enlarged with bilinear interpolation.
    """

    def __init__(self, architecture: DeepArchitecture) -> None:
        super().__init__()
        self.stages = Stages(architecture.levels)
        inputs = channels_of(architecture.levels)
        sizes = zip(inputs, architecture.channels, strict=True)
        self.projections = nn.ModuleList(nn.Conv2d(given, wanted, 1) for given, wanted in sizes)
        self.normalisation = EnergyNorm()
        enlarged = [stride_of(level) // architecture.stride for level in architecture.levels]
        self.enlarge = nn.ModuleList(_enlarged(factor) for factor in enlarged)

    def forward(self, patches: Tensor) -> Tensor:
        levels = zip(self.stages(patches), self.projections, self.enlarge, strict=True)
        return torch.cat([enlarge(self.normalisation(project(maps))) for maps, project, enlarge in levels], dim=1)


def _enlarged(factor: int) -> nn.Module:
    return nn.Upsample(scale_factor=float(factor), mode="bilinear") if factor > 1 else nn.Identity()
