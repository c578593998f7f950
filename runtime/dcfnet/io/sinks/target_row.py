"""One target in one frame, as it is written and drawn."""

from __future__ import annotations

from typing import NamedTuple

from dcfnet.result import Box, Result


class TargetRow(NamedTuple):
    """One target in one frame. id: its number in the outputs, from 1. box: frame pixels, 0-based.

    result: None in the frame in which the target starts.
    """

    id: int
    box: Box
    result: Result | None = None
