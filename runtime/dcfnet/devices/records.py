"""Records that the host shares with the kernels of a device: targets, what a search found, and the rules of decisions.

Each layout is written only here. The kernels get it as a C structure (cuda/kernels/structures.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcfnet.filter.response import Peak
from dcfnet.model.confidence import TERMS

VIEW_SIDE = 8  # cells along each side of a view
CELL_SAMPLES = 4  # pixels along each side of a cell; a frame has 32 x 32
_PAIRS = (
    "centre",
    "size",
    "initial_size",
    "frame_size",
    "size_limits",
    "confident_centre",
    "confident_size",
    "sure_centre",
    "sure_size",
    "candidate_centre",
)
COUNTS = (  # counters of a target, from 0
    "updates",
    "frames_since_confident",
    "occluded_frames",
    "doubtful_frames",
    "candidate_frames",
    "positions_searched",
    "skipped",
    "turn_frames",
)

# `TrackState` has the meaning of each field.
TARGET = np.dtype(
    [
        *((name, "f8", (2,)) for name in _PAIRS),
        *((name, "f8", (3,)) for name in ("typical", "sure_response")),
        *((name, "f8") for name in ("level", "light", "angle", "size_angle")),
        *((name, "i8") for name in ("source", *COUNTS, "turn_side")),
        ("view", "u1", (VIEW_SIDE, VIEW_SIDE)),
    ],
    align=True,
)

# Numbers of a result, in the order of `decided_results`: the box, then numbers of `Result`.
RESULT_NUMBERS = ("left", "top", "width", "height", "value", "lowest_psr", "apce", "likeness", "confidence")
# What the search for a target found, and what was decided. psr, shift: of the pass that counts. centre, size: as in
# `Detection`. level: see `Texture`. reach: the largest region of the next search. winner: index of the scale.
# status, reason: indices of `Status` and `Reason`. flags: what a kernel is asked to do, and what is left to do; FLAGS.
OUTCOME = np.dtype(
    [
        *((name, "f8") for name in RESULT_NUMBERS),
        *(("psr", "f8"), ("level", "f8"), ("shift", "f8", (2,)), ("centre", "f8", (2,)), ("size", "f8", (2,))),
        ("reach", "f8", (2,)),
        *((name, "i4") for name in ("winner", "status", "reason", "flags")),
    ],
    align=True,
)
# The result of an outcome: RESULT_NUMBERS, then the indices of status and reason, which are before the flags.
_RESULT = struct.Struct(f"={len(RESULT_NUMBERS)}d{OUTCOME.itemsize - 8 * len(RESULT_NUMBERS) - 12}x2i4x")
# SEARCH: search and decide. SECOND: a second search pass is wanted, or this is one. HOST: the host must decide.
# REPEAT: the host must process the frame from the start. UPDATE: the filter is to be updated. VIEW: kernels can read
# the whole frame, and write its view into the target.
SEARCH, SECOND, HOST, REPEAT, UPDATE, VIEW = FLAGS = (1, 2, 4, 8, 16, 32)

MAX_SCALES = 15  # of `TrackerConfig.scales`
# Constants of the decisions; `tracking/decision_rules.py` has the values. patches: search patches of a target.
RULES = np.dtype(
    [
        *((name, "f8") for name in ("padding_factor", "squareness", "steps_per_region", "region_per_step")),
        *((name, "f8") for name in ("patch_factor", "patch_size", "response_side", "centres_a_pixel", "least_side")),
        *((name, "f8") for name in ("second_pass_distance", "min_psr", "confident_psr", "min_likeness")),
        *((name, "f8") for name in ("min_strength", "visible_again", "typical_rate", "min_confidence")),
        *((name, "f8") for name in ("lost_confidence", "sure_confidence", "sure_rate")),
        *((name, "f8") for name in ("level_change", "weak_response", "light_limit", "light_step", "weak_peak")),
        *(("bias", "f8"), ("weights", "f8", (len(TERMS),)), ("scale", "f8", (MAX_SCALES,))),
        *((name, "i4") for name in ("scales", "patches", "update_interval", "lost_after", "redetection")),
        *((name, "i4") for name in ("with_confidence", "whole_frame")),
    ],
    align=True,
)
Targets: TypeAlias = NDArray[np.void]  # TARGET (N,)
Outcomes: TypeAlias = NDArray[np.void]  # OUTCOME (N,)


class Decided(NamedTuple):
    """What a device decided in a frame of N targets. Targets with the flag HOST are as they were before.

    for_host: whether there are such targets. with_views: whether the views are those of this frame; otherwise they are
    as before. outcomes: valid until the next search.
    """

    targets: Targets
    outcomes: Outcomes
    for_host: bool
    with_views: bool


@cache
def _without_fields(itemsize: int) -> np.dtype[np.void]:
    return np.dtype((np.void, itemsize))


def raw(records: NDArray[np.void]) -> NDArray[np.void]:
    """The same memory without fields: NumPy copies records field by field, which takes 20 times as long or longer."""
    return records.view(_without_fields(records.itemsize))


def copied(records: NDArray[np.void]) -> NDArray[np.void]:
    """A contiguous copy of records. A copy by way of bytes takes a fifth of the time of views without fields."""
    return np.frombuffer(bytearray(records.tobytes()), records.dtype)


def taken(records: NDArray[np.void], rows: NDArray[np.generic] | slice) -> NDArray[np.void]:
    """A copy of the records in `rows`, indices or bool; a view for a slice."""
    if isinstance(rows, slice):
        return records[rows]
    selected: NDArray[np.void] = raw(records)[rows].view(records.dtype)
    return selected


def put(records: NDArray[np.void], rows: NDArray[np.generic] | slice, others: NDArray[np.void]) -> None:
    """Overwrites the records in `rows` with others of the same layout."""
    raw(records)[rows] = raw(others)


def flags_of(outcomes: Outcomes) -> tuple[set[int], int]:
    """The different flags of the outcomes, and the flags that any of them has."""
    kinds, every = set(outcomes["flags"].tolist()), 0
    for flags in kinds:  # few different ones
        every |= flags
    return kinds, every


def results_of(outcomes: Outcomes) -> Iterator[tuple[Any, ...]]:
    """RESULT_NUMBERS of each outcome as float, then the indices of its status and reason. outcomes: contiguous."""
    buffer: Any = outcomes  # not `.data`: it describes all fields in text, which takes 1.4 us
    return _RESULT.iter_unpack(buffer)


def peak_of(outcomes: Outcomes) -> Peak:
    """The peaks of N outcomes."""
    return Peak(*(outcomes[name] for name in ("shift", "value", "psr", "apce", "likeness")))
