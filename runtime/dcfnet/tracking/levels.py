"""What the tracker needs to know of each feature level: the label, and the share in the response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dcfnet.config import TrackerConfig
from dcfnet.devices.backend import Backend
from dcfnet.filter.dcf import Array
from dcfnet.model.file import FeatureLevel


def label_sigmas(config: TrackerConfig, levels: Sequence[FeatureLevel]) -> list[float]:
    """Standard deviation of the label of each level, or of the one label; patch pixels."""
    if not levels:
        return [config.label_sigma_in_patch()]
    return [level.label_sigma * config.target_side() for level in levels]


def shares_of_levels(backend: Backend, levels: Sequence[FeatureLevel]) -> Array | None:
    """The share of each level in the response, float32 (L, 1, 1, 1); None for one filter."""
    if not levels:
        return None
    weights = np.array([level.weight for level in levels], np.float32)[:, None, None, None]
    return backend.asarray(weights / weights.sum())
