"""Step 1 of a frame: what is given is checked and put where the backend takes it, and who can be seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Backend, Frame
from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.errors import InvalidFrameError
from dcfnet.geometry import either, on_grid, size_limits
from dcfnet.pixels import frame_size
from dcfnet.result import Reason
from dcfnet.state import TrackState

Admitted = Sequence[Frame | Reason]  # a frame on the backend, or why there is none


def admit(backend: Backend, given: Sequence[Any], sources: NDArray[np.intp]) -> list[Frame | Reason]:
    """The frames on the backend, or why they are none; those that are no target's source are not looked at."""
    wanted = set(sources.tolist())
    return [_admit(backend, frame) if index in wanted else Reason.NO_FRAME for index, frame in enumerate(given)]


def _admit(backend: Backend, given: Any) -> Frame | Reason:
    try:
        frame: Frame = backend.frame(given)
    except InvalidFrameError as error:
        return Reason.NO_FRAME if error.empty else Reason.BAD_FRAME
    return frame


def follow_resolution(state: TrackState, frames: Admitted, ratio: tuple[float, float]) -> tuple[TrackState, list[bool]]:
    """The state in the pixels of frames whose size changed, and which of the N targets that struck.

    ratio: as of `size_limits`.
    """
    known = [None if isinstance(frame, Reason) else frame_size(frame) for frame in frames]
    before = list(zip(state.source.tolist(), map(tuple, state.frame_size.tolist()), strict=True))
    changed = [known[source] not in (None, size) for source, size in before]
    if not any(changed):
        return state, changed
    sizes = np.array([known[source] or size for source, size in before], dtype=np.float64)
    grown = sizes / state.frame_size
    # pixel centres at integers: the frame's corner lies at -0.5
    centres = {name: on_grid((getattr(state, name) + 0.5) * grown - 0.5) for name in ("centre", "sure_centre")}
    sizes_in_it = {name: getattr(state, name) * grown for name in ("size", "initial_size", "sure_size")}
    limits = size_limits(sizes_in_it["initial_size"], sizes, ratio)
    return state.replace(**centres, **sizes_in_it, frame_size=sizes, limits=limits), changed


def rejections(state: TrackState, frames: Admitted) -> list[Reason | None]:
    """Why nothing can be looked for of each target in its frame, or None."""
    none = [frame if isinstance(frame, Reason) else None for frame in frames]
    # Too small: a glitch of a tiny frame, the target shrank with the resolution.
    tiny = either(state.size < MIN_TARGET_SIDE)
    each = zip(state.source.tolist(), tiny.tolist(), strict=True)
    return [none[source] or (Reason.BAD_FRAME if small else None) for source, small in each]
