"""Step 1 of a frame: what is given is checked and put where the backend takes it, and who can be seen in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcfnet.backend import Backend, Frame
from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.errors import InvalidFrameError
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


def follow_resolution(state: TrackState, frames: Admitted) -> tuple[TrackState, NDArray[np.bool_]]:
    """The state in the pixels of frames whose size changed, and which targets that struck, bool (N,)."""
    sizes = state.frame_size.copy()
    for i, source in enumerate(state.source):
        frame = frames[source]
        if not isinstance(frame, Reason):
            sizes[i] = frame_size(frame)
    changed = (sizes != state.frame_size).any(axis=1)
    if not changed.any():
        return state, changed
    ratio = sizes / state.frame_size
    # pixel centres at integers: the frame's corner lies at -0.5
    centres = {name: (getattr(state, name) + 0.5) * ratio - 0.5 for name in ("centre", "sure_centre")}
    sizes_in_it = {name: getattr(state, name) * ratio for name in ("size", "initial_size", "sure_size")}
    return state.replace(**centres, **sizes_in_it, frame_size=sizes), changed


def rejections(
    backend: Backend, regions: NDArray[np.float64], state: TrackState, frames: Admitted
) -> list[Reason | None]:
    """Why nothing can be seen of each target in its frame, or None. regions: where it is looked for, (N, 2)."""
    found: list[Reason | None] = []
    for source, size in zip(state.source, state.size, strict=True):
        frame = frames[source]
        # Too small: a glitch of a tiny frame, the target shrank with the resolution.
        tiny = Reason.BAD_FRAME if size.min() < MIN_TARGET_SIDE else None
        found.append(frame if isinstance(frame, Reason) else tiny)
    rows = np.flatnonzero([reason is None for reason in found])
    for row in rows[~backend.textured(frames, state.source[rows], state.centre[rows], regions[rows])]:
        found[row] = Reason.NO_TEXTURE
    return found
