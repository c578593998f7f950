"""Reads the released "DCFNet 2.0" weights of the authors (MIT licence), for comparison."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import torch
from dcfnet.errors import ModelError
from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import Checkpoint, compare_shapes
from dcfnet_train.recipe import Recipe
from torch import Tensor

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
    recipe = Recipe(architecture="released")
    if not file.exists():
        raise ModelError(f"{file}: no such file; give an .npz of the released weights")
    try:
        with ZipFile(file) as archive:
            missing = sorted({f"{array}.npy" for array in NAMES.values()} - set(archive.namelist()))
            if missing:
                raise ModelError(f"{file}: lacks the arrays {', '.join(missing)}")
            # An archive of a few MB can hold arrays of many GB, so no array is read before all shapes are checked.
            shapes = {name: _shape(archive, f"{array}.npy") for name, array in NAMES.items()}
            compare_shapes(file, shapes, Backbone(ARCHITECTURES[recipe.architecture]), recipe.architecture)
            weights = {name: _read(archive, f"{array}.npy") for name, array in NAMES.items()}
    except ModelError:
        raise
    except (OSError, TypeError, ValueError, EOFError, BadZipFile, NotImplementedError, zlib.error) as error:
        reason = "it is a folder" if file.is_dir() else error
        raise ModelError(f"{file}: not an .npz of the released weights ({reason})") from error
    return Checkpoint(weights, recipe, step=0, optimiser={})


def _shape(archive: ZipFile, entry: str) -> tuple[int, ...]:
    """Shape in the header of an array. Raises ValueError if the array is not one of floats as `numpy.savez` writes."""
    if archive.getinfo(entry).compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{entry} is packed in a way that numpy.savez does not use")
    with archive.open(entry) as opened:
        if np.lib.format.read_magic(opened) != (1, 0):  # the header of other versions can have any length
            raise ValueError(f"{entry} is not of version 1.0 of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(opened)
    if dtype.kind != "f":
        raise ValueError(f"{entry} has the dtype {dtype}, it must be a float")
    return tuple(shape)


def _read(archive: ZipFile, entry: str) -> Tensor:
    with archive.open(entry) as opened:
        values = np.lib.format.read_array(opened, allow_pickle=False)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
