"""The boxes of a detector, as `correct` gets them: checked, by source, with the frame of each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from dcfnet.devices.backend import Backend
from dcfnet.errors import InvalidBoxError, InvalidFrameError
from dcfnet.io.frame import frame_size
from dcfnet.result import Box, Reason
from dcfnet.tracking.frame_validation import Frames, frames_by_source, is_source
from dcfnet.tracking.geometry import UNORDERED_OR_TEXT, target_box

Boxes: TypeAlias = Sequence[float] | Sequence[Sequence[float]] | NDArray[Any]  # x, y, w, h of one box or of several


class DetectorBoxes(NamedTuple):
    """The boxes of one frame. frame: as `Backend.frame` returns it; a reason if there are no boxes."""

    frame: Any
    boxes: list[Box]


def check_boxes(backend: Backend, frames: Frames, boxes: Boxes | Mapping[int, Boxes]) -> dict[int, DetectorBoxes]:
    """The boxes of each source, cut to its frame. Frames without boxes are not examined.

    frames, boxes: as for `MultiTracker.correct`. Raises InvalidFrameError and InvalidBoxError.
    """
    given, checked = frames_by_source(frames), dict[int, DetectorBoxes]()
    if not isinstance(boxes, Mapping):
        return {0: _of_source(backend, given, 0, boxes, "boxes")}
    for source, listed in boxes.items():
        if not is_source(source):
            raise InvalidBoxError(f"boxes has the key {source!r}: a key is the source of a frame, a whole number")
        name = "boxes" if given.keys() == boxes.keys() == {0} else f"boxes[{source}]"
        checked[int(source)] = _of_source(backend, given, source, listed, name)
    return checked


def _of_source(backend: Backend, frames: Mapping[int, Any], source: int, boxes: Boxes, name: str) -> DetectorBoxes:
    several = _several(boxes, name)
    if not several:
        return DetectorBoxes(Reason.NO_FRAME, [])
    if source not in frames:
        raise InvalidFrameError(
            f"{name}: there is no frame of source {source}, only of {list(frames)}; give the frame of the detector"
        )
    frame = backend.frame(frames[source])
    return DetectorBoxes(frame, [_checked(box, frame_size(frame), f"{name}[{i}]") for i, box in enumerate(several)])


def _several(boxes: Any, name: str) -> list[Any]:
    """The boxes as a list; one box, which is four numbers, as a list of one. Raises InvalidBoxError."""
    try:
        if isinstance(boxes, UNORDERED_OR_TEXT):
            raise TypeError
        listed = list(boxes)
    except TypeError:
        rule = "must be one box x, y, w, h or a list of boxes, frame pixels"
        raise InvalidBoxError(f"{name} is a {type(boxes).__name__}: {rule}") from None
    return [listed] if listed and _is_number(listed[0]) else listed


def _is_number(value: Any) -> bool:
    """Whether it is a number, or an array without axes, as an element of a tensor is."""
    return getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")


def _checked(box: Any, size: tuple[int, int], name: str) -> Box:
    try:
        return target_box(box, size)
    except InvalidBoxError as error:
        raise InvalidBoxError(f"{name}: {error}") from None
