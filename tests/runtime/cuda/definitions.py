"""Layers of the network by their definitions, in float64: the reference for the kernels."""

from __future__ import annotations

import numpy as np
from dcfnet.model.layers import Convolution, Normalisation


def convolved(maps: np.ndarray, layer: Convolution) -> np.ndarray:
    """The convolution of maps (B, I, H, H) -> (B, O, H', H'): a sum of matrix products over the kernel positions."""
    side = layer.result_side(maps.shape[-1])
    padded = np.pad(maps.astype(np.float64), [(0, 0), (0, 0), *[(layer.padding, layer.padding)] * 2])
    sums = np.zeros((len(maps), len(layer.bias), side, side)) + layer.bias[:, None, None]
    for row, column in np.ndindex(*layer.weight.shape[2:]):
        positions = (slice(index * layer.dilation, None, layer.stride) for index in (row, column))
        values = padded[(..., *positions)][..., :side, :side]
        sums += np.einsum("oc,bcyx->boyx", layer.weight[:, :, row, column], values)
    return sums.clip(0) if layer.rectified else sums


def normalised(features: np.ndarray, norm: Normalisation) -> np.ndarray:
    """Features (B, C, H, W), divided by (offset + band . squares)^(3/4)."""
    squares = features.astype(np.float64) ** 2
    energy = norm.offset[:, None, None] + np.einsum("cd,bdyx->bcyx", norm.band.astype(np.float64), squares)
    return features / energy**0.75
