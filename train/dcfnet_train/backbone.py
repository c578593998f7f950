"""The network before the filter: 3 x 3 convolutions with ReLU between them, then local response normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MEAN_BGR = (104.0, 117.0, 123.0)  # subtracted from every patch, in training and tracking; integers, see cpu.py


@dataclass(frozen=True)
class Architecture:
    """Output channels and dilation of each convolution, first to last."""

    channels: tuple[int, ...]
    dilations: tuple[int, ...]

    def margin(self) -> int:
        """Pixels that unpadded convolutions remove at each border of the patch."""
        return sum(self.dilations)


ARCHITECTURES: dict[str, Architecture] = {
    "conv1": Architecture((64, 32), (1, 1)),  # Table 1 of the paper, as the next two
    "dilation": Architecture((64, 32), (1, 2)),  # nearly the receptive field of conv2, with the size of conv1
    "conv2": Architecture((64, 64, 128, 32), (1, 1, 1, 1)),
    "released": Architecture((32, 32), (1, 1)),  # the later code of the authors: half the operations, 40 KB
}


class LocalResponseNorm(nn.Module):
    """Local response normalisation with the values of torch's LocalResponseNorm, for beta = 0.75 only.

    Features (B, C, H, W) -> (B, C, H, W): x / (k + alpha / n * sum over n channels of x^2)^beta.
    A banded 1 x 1 convolution sums the channels, and two square roots compute the power. This form is several times
    faster than torch's own in training and, after export, in ONNX Runtime.
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
    """Patches (B, 3, S, S), BGR minus mean, float -> features (B, C, H, W).

    padding: True keeps the side S, for export and tracking. False removes `architecture.margin()` px at each border,
    for training: with padding the network learns the border instead of the target.
    stride: the features are means of the last convolution over stride x stride px, H = W = side / stride.
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
