"""Reads the released "DCFNet 2.0" weights of the authors (MIT licence), for comparison."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from dcfnet.errors import ModelError
from dcfnet_train.checkpoint import Checkpoint, check_shapes
from dcfnet_train.recipe import Recipe

NAMES = {
    "convolutions.0.weight": "conv1_weight",
    "convolutions.0.bias": "conv1_bias",
    "convolutions.2.weight": "conv2_weight",
    "convolutions.2.bias": "conv2_bias",
}


def read_released(file: Path) -> Checkpoint:
    """The checkpoint in an `.npz` of the released arrays: conv1_weight (32, 3, 3, 3) and so on, for BGR minus mean.

    Raises ModelError with the arrays that are missing or have another shape.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            missing = sorted(set(NAMES.values()) - set(arrays))
            if missing:
                raise ModelError(f"{file}: lacks the arrays {', '.join(missing)}")
            weights = {name: torch.from_numpy(arrays[array].astype(np.float32)) for name, array in NAMES.items()}
    except (OSError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ModelError(f"{file}: not an .npz of the released weights ({error})") from error
    recipe = Recipe(architecture="released")
    check_shapes(file, weights, recipe)
    return Checkpoint(weights, recipe, step=0, optimiser={})
