"""The constants of the decisions: those that no config has, and all of them as a record for a device.

The formulas are in `steps.py`, `search.py`, `light.py`, `typical_response.py` and `status.py`. Kernels repeat them
(devices/cuda/kernels/places.cu, decisions.cu), and tests/runtime/cuda/test_decisions.py compares both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dcfnet.config import MIN_TARGET_SIDE, TrackerConfig
from dcfnet.devices.records import RULES
from dcfnet.filter.response import RESPONSE_SIDE
from dcfnet.model.confidence import TERMS, Confidence
from dcfnet.tracking.geometry import CENTRES_A_PIXEL, STEPS_A_PIXEL

VISIBLE_AGAIN = 1.5  # multiple of `min_strength` that ends an occlusion (docs/tuning.md)
TYPICAL_RATE = 0.1  # weight of a frame in the typical PSR, peak and likeness
LEVEL_CHANGE = 1.3  # ratio of grey levels above which the light may have changed (docs/tuning.md)
# A target whose peak is below this share of the typical one has perhaps turned (docs/tuning.md).
WEAK_PEAK = 0.9
WEAK_RESPONSE = 0.5  # share of the typical PSR x peak below which the tracker searches again (docs/tuning.md)
LIGHT_LIMIT = 16.0  # largest factor: with a larger one, less than 4 bits of a pixel are left
# A frame with this confidence shows what the target looks like; SURE_RATE is its weight in the running means.
SURE_CONFIDENCE, SURE_RATE = 0.8, 0.05
# Factors are multiples of this. A product with a level, 0 to 255, is then exact in float32, as on a GPU.
LIGHT_STEP = 1 / 1024
_OF_CONFIG = (
    *("squareness", "patch_size", "second_pass_distance", "min_psr", "confident_psr", "min_likeness", "min_strength"),
    *("min_confidence", "lost_confidence", "update_interval", "lost_after", "scales"),
)


def decision_rules(
    config: TrackerConfig, scales: NDArray[np.float64], patches: int, confidence: Confidence | None
) -> NDArray[np.void]:
    """The record RULES (1,). patches: search patches of a target. confidence: None without a fit."""
    rules, side = np.zeros(1, RULES), config.search_side()
    values = {name: getattr(config, name) for name in _OF_CONFIG}
    values |= {"padding_factor": 1 + config.padding, "patch_factor": config.patch_size / side}
    values |= {"steps_per_region": STEPS_A_PIXEL / side, "region_per_step": side / STEPS_A_PIXEL}
    values |= {"response_side": RESPONSE_SIDE, "centres_a_pixel": CENTRES_A_PIXEL, "least_side": MIN_TARGET_SIDE}
    values |= {"visible_again": VISIBLE_AGAIN, "typical_rate": TYPICAL_RATE, "level_change": LEVEL_CHANGE}
    values |= {"weak_response": WEAK_RESPONSE, "light_limit": LIGHT_LIMIT, "light_step": LIGHT_STEP}
    values |= {"weak_peak": WEAK_PEAK if config.rotation_step else 0.0}
    values |= {"patches": patches, "redetection": config.redetection_rings > 0}
    values |= {"sure_confidence": SURE_CONFIDENCE, "sure_rate": SURE_RATE}
    values |= {"with_confidence": confidence is not None, "whole_frame": config.searches_whole_frame()}
    for name, value in values.items():
        rules[name] = value
    rules["scale"][:, : len(scales)] = scales
    if confidence is not None:
        rules["bias"] = confidence.bias
        rules["weights"] = [confidence.weights.get(term, 0.0) for term in TERMS]
    return rules
