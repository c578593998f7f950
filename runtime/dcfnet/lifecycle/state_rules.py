"""The rules for the numbers in a state file. A damaged number could otherwise stop a later `update`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.devices.records import COUNTS
from dcfnet.errors import StateError
from dcfnet.tracking.decision_rules import LIGHT_LIMIT
from dcfnet.tracking.geometry import LARGEST_NUMBER
from dcfnet.tracking.state import MAX_SOURCE

SMALLEST_SIZE = 1e-6  # px: far below that of any target; ratios of sizes stay finite
SIZES = ("size", "initial_size", "frame_size", "size_limits", "confident_size", "sure_size")
OTHERS = ("centre", "confident_centre", "candidate_centre", "sure_centre", "typical", "sure_response")
# Far above the values of networks on 8-bit pixels. Products and squares in the solver stay below the largest float32.
LARGEST_SUM, LARGEST_WEIGHT = 1e12, 1e4


def check_targets(
    file: Path, ids: NDArray[np.int64], tensors: Mapping[str, NDArray[Any]], next_id: str, alone: bool
) -> int:
    """The next id. tensors: by name, of the types and shapes of a state. alone: there is one target, of source 0.

    Raises StateError for a number that is not finite or out of its range.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise StateError(f"{file}: its tensor {name!r} has values that are not finite; save the state again")
    for name, low, high in _ranges(tensors):
        if not ((tensors[name] >= low) & (tensors[name] <= high)).all():
            raise StateError(
                f"{file}: its tensor {name!r} has values outside {low:g} to {high:g}; save the state again"
            )
    if alone and (len(ids) != 1 or tensors["source"].any()):
        raise StateError(f"{file}: it has {len(ids)} targets, must be one target of source 0; save the state again")
    largest = int(ids.max(initial=-1))
    if len(set(ids.tolist())) < len(ids) or ids.min(initial=0) < 0:
        raise StateError(f"{file}: its ids must be different whole numbers from 0 on; save the state again")
    if not (next_id.isdecimal() and len(next_id) < 20 and int(next_id) > largest):
        raise StateError(f"{file}: its next id is {next_id[:20]!r}, must be above {largest}; save the state again")
    return int(next_id)


def _ranges(tensors: Mapping[str, NDArray[Any]]) -> list[tuple[str, float, float]]:
    """(tensor, smallest, largest value) of all tensors; none without targets."""
    if not tensors:
        return []
    return [
        *((name, SMALLEST_SIZE, LARGEST_NUMBER) for name in SIZES),
        *((name, -LARGEST_NUMBER, LARGEST_NUMBER) for name in OTHERS),
        *((name, 0, 2**62) for name in COUNTS),
        ("filters.numerator", -LARGEST_SUM, LARGEST_SUM),
        ("filters.denominator", 0, LARGEST_SUM),
        *((f"filters.{name}", -LARGEST_WEIGHT, LARGEST_WEIGHT) for name in ("filter_f", "focused_f", "first_f")),
        *((f"filters.{name}", 0, 1) for name in ("colours", "first_colours")),
        ("level", 0, 255 * LIGHT_LIMIT),
        ("light", 1 / LIGHT_LIMIT, LIGHT_LIMIT),
        *((name, -np.pi, np.pi) for name in ("angle", "size_angle")),
        ("turn_side", -1, 1),
        ("source", -MAX_SOURCE, MAX_SOURCE),
    ]
