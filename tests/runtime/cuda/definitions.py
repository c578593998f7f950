"""What the network's kernels are held to: layers by their definitions, in float64."""

from __future__ import annotations

import numpy as np
from dcfnet.layers import Convolution, Normalisation


def convolved(maps: np.ndarray, layer: Convolution) -> np.ndarray:
    """A sum over places of the padded maps, one product of matrices a place; (B, I, H, H) -> (B, O, H', H')."""
    made = layer.made_side(maps.shape[-1])
    padded = np.pad(maps.astype(np.float64), [(0, 0), (0, 0), *[(layer.padding, layer.padding)] * 2])
    sums = np.zeros((len(maps), len(layer.bias), made, made)) + layer.bias[:, None, None]
    for row, column in np.ndindex(*layer.weight.shape[2:]):
        places = (slice(at * layer.dilation, None, layer.stride) for at in (row, column))
        seen = padded[(..., *places)][..., :made, :made]
        sums += np.einsum("oc,bcyx->boyx", layer.weight[:, :, row, column], seen)
    return sums.clip(0) if layer.rectified else sums


def normalised(features: np.ndarray, norm: Normalisation) -> np.ndarray:
    """(B, C, H, W), divided by (offset + band . squares)^(3/4)."""
    squares = features.astype(np.float64) ** 2
    energy = norm.offset[:, None, None] + np.einsum("cd,bdyx->bcyx", norm.band.astype(np.float64), squares)
    return features / energy**0.75
