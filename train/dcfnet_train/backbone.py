"""The network in front of the filter: 3 x 3 convolutions with ReLU between them and local response normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MEAN_BGR = (104.0, 117.0, 123.0)  # taken off every patch, offline and online alike; whole numbers, see cpu.py


@dataclass(frozen=True)
class Architecture:
    """Output channels and dilation of every convolution, first to last."""

    channels: tuple[int, ...]
    dilations: tuple[int, ...]

    def margin(self) -> int:
        """Pixels that unpadded convolutions take off each border of the patch."""
        return sum(self.dilations)


ARCHITECTURES: dict[str, Architecture] = {
    "conv1": Architecture((64, 32), (1, 1)),  # these three: Table 1 of the paper
    "dilation": Architecture((64, 32), (1, 2)),  # the receptive field of conv2, nearly, at the size of conv1
    "conv2": Architecture((64, 64, 128, 32), (1, 1, 1, 1)),
    "released": Architecture((32, 32), (1, 1)),  # the authors' later code: half the work, 40 KB
}


class LocalResponseNorm(nn.Module):
    """Features divided by a power of their energy in neighbouring channels: the same as torch's LocalResponseNorm.

    Features (B, C, H, W) -> (B, C, H, W): x / (k + alpha / n * sum over n channels of x^2)^beta, for beta = 0.75 only.
    A banded 1 x 1 convolution sums the channels and two square roots make the power, which is several times faster
    than torch's own form in training and, exported, on ONNX Runtime.
    """

    band: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, k: float = 1.0) -> None:
        super().__init__()
        distance = (torch.arange(channels)[:, None] - torch.arange(channels)[None, :]).abs()
        band = (distance <= size // 2).float() * alpha / size
        self.register_buffer("band", band[:, :, None, None], persistent=False)
        self.register_buffer("offset", torch.full((channels,), k), persistent=False)
        self.size, self.alpha, self.k = size, alpha, k

    def forward(self, features: Tensor) -> Tensor:
        scale = nn.functional.conv2d(features * features, self.band, self.get_buffer("offset"))
        root = torch.sqrt(scale)
        return features / (root * torch.sqrt(root))


class Backbone(nn.Module):
    """Patches (B, 3, S, S), BGR with the mean taken off, float -> features (B, C, H, W).

    padding: True keeps the side S (as it is exported and tracked); False takes `architecture.margin()` px off each
    side (as it is trained: with padding the network learns the border instead of the target).
    stride: the features are means over stride x stride px of the last convolution, H = W = side / stride.
    """

    def __init__(self, architecture: Architecture, padding: bool = False, stride: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, dilation in zip(architecture.channels, architecture.dilations, strict=True):
            pad = dilation if padding else 0
            layers += [nn.Conv2d(inputs, outputs, 3, padding=pad, dilation=dilation), nn.ReLU()]
            inputs = outputs
        self.convolutions = nn.Sequential(*layers[:-1])  # no ReLU after the last one
        self.mean = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.normalisation = LocalResponseNorm(inputs)

    def forward(self, patches: Tensor) -> Tensor:
        features: Tensor = self.normalisation(self.mean(self.convolutions(patches)))
        return features
