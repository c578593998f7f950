"""Models of the architectures with initial weights. An export takes seconds, so each is made once in a process."""

from __future__ import annotations

from functools import cache

import torch
from dcfnet.config import TrackerConfig
from dcfnet.model.file import Model
from dcfnet_export.graph import STRIDE, make_model
from dcfnet_train.backbone import ARCHITECTURES, Backbone
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.recipe import Recipe

SIDE = 90  # of the patches in the config; a multiple of the strides 1, 2 and 3


def initial(architecture: str) -> Checkpoint:
    """Initial weights, the same at every call."""
    torch.manual_seed(0)
    weights = Backbone(ARCHITECTURES[architecture]).state_dict()
    return Checkpoint(weights, Recipe(architecture=architecture), 0, {})


def exported(architecture: str, stride: int = STRIDE, lrn: str = "fast") -> Model:
    """The model of `initial` for patches of SIDE. Tests share it, and do not change it."""
    return _exported(architecture, stride, lrn)


@cache
def _exported(architecture: str, stride: int, lrn: str) -> Model:
    return make_model(initial(architecture), TrackerConfig(patch_size=SIDE), architecture, lrn, stride)
