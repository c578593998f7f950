"""Step 1 of a frame: frame validation, and the targets that can be searched for in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dcfnet.config import MIN_TARGET_SIDE
from dcfnet.devices.backend import Backend
from dcfnet.errors import FrameTypeError, InvalidFrameError
from dcfnet.io.frame import Frame, check_type, frame_size
from dcfnet.result import Reason
from dcfnet.tracking.geometry import any_true, size_limits, to_centre_grid
from dcfnet.tracking.state import MAX_SOURCE, TrackState

Frames = Frame | Mapping[int, Frame | None] | None
ValidatedFrames = Mapping[int, Frame | Reason]  # {source: frame on the backend, or the reason why it was rejected}


def is_source(key: object) -> bool:
    """Whether a key can name a camera: a whole number of Python or NumPy, up to MAX_SOURCE."""
    return isinstance(key, (int, np.integer)) and not isinstance(key, bool) and abs(int(key)) <= MAX_SOURCE


def frames_by_source(frames: Frames) -> Mapping[int, Frame | None]:
    """The frames by their source. Raises FrameTypeError for containers other than a mapping, and for other keys."""
    if isinstance(frames, np.ndarray):
        return {0: frames}
    if hasattr(type(frames), "__cuda_array_interface__"):  # the checks below take 2 us
        on_device: Any = frames
        return {0: on_device}
    if not isinstance(frames, Mapping):
        check_type(frames)
        return {0: frames}
    for source in frames:
        if type(source) is not int and not is_source(source):  # nearly all keys are int, and this is faster
            raise FrameTypeError(
                f"frames has the key {source!r}, a {type(source).__name__}: a key is the source of a target, the whole "
                "number that was given to add"
            )
    return frames


def validate_frames(backend: Backend, given: Mapping[int, Any], sources: Iterable[int]) -> dict[int, Frame | Reason]:
    """The frames on the backend, or the reason why they were rejected. Frames that no target uses are not examined.

    given: {source: any object}. sources: of the targets, each with a frame. Raises FrameTypeError.
    """
    return {source: _validated(backend, given[source]) for source in sources}


def _validated(backend: Backend, given: Any) -> Frame | Reason:
    try:
        frame: Frame = backend.frame(given)
    except FrameTypeError:
        raise
    except InvalidFrameError as error:
        return Reason.NO_FRAME if error.empty else Reason.BAD_FRAME
    return frame


def follow_resolution(
    state: TrackState, frames: ValidatedFrames, ratio: tuple[float, float]
) -> tuple[TrackState, list[bool]]:
    """Scales the state to the new frame size where it changed. Returns the state, and which of the N targets changed.

    ratio: see `size_limits`.
    """
    known = {source: None if isinstance(frame, Reason) else frame_size(frame) for source, frame in frames.items()}
    before = list(zip(state.source.tolist(), map(tuple, state.frame_size.tolist()), strict=True))
    changed = [known[source] not in (None, size) for source, size in before]
    if not any(changed):
        return state, changed
    sizes = np.array([known[source] or size for source, size in before], dtype=np.float64)
    factor = sizes / state.frame_size
    # Pixel centres are at integers, so the frame's corner is at -0.5.
    names = ("centre", "confident_centre", "sure_centre", "candidate_centre")
    centres = {name: to_centre_grid((getattr(state, name) + 0.5) * factor - 0.5) for name in names}
    scaled = {name: getattr(state, name) * factor for name in ("size", "initial_size", "confident_size", "sure_size")}
    limits = size_limits(scaled["initial_size"], sizes, ratio)
    # The translation between scenes of frames of two sizes means nothing: it is measured from the next frame on.
    scenes = np.where(np.array(changed)[:, None, None], np.uint8(0), state.scenes)
    return state.replace(**centres, **scaled, frame_size=sizes, size_limits=limits, scenes=scenes), changed


def rejection_reasons(state: TrackState, frames: ValidatedFrames) -> list[Reason | None]:
    """Why a target cannot be searched for in its frame; None if it can."""
    rejected = {source: frame if isinstance(frame, Reason) else None for source, frame in frames.items()}
    # A target that shrank with the resolution can be too small for a while, for example in a tiny broken frame.
    tiny = any_true(state.size < MIN_TARGET_SIDE)
    rows = zip(state.source.tolist(), tiny.tolist(), strict=True)
    return [rejected[source] or (Reason.BAD_FRAME if small else None) for source, small in rows]
