"""Tensors of Triton's requests and responses, as NumPy arrays. The names are those of config.pbtxt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from dcfnet.errors import (
    CapacityError,
    DcfnetError,
    DeviceError,
    InvalidBoxError,
    InvalidFrameError,
    TimestampError,
    UnknownTargetError,
)
from dcfnet.lifecycle.timestamps import times_by_source
from dcfnet.result import Box, Result
from numpy.typing import NDArray

INPUTS = ("FRAME", "BOX", "TIME", "START", "END", "CORRID")
NO_CONFIDENCE = -1.0
ERROR_CODES = {UnknownTargetError: "NOT_FOUND", CapacityError: "UNAVAILABLE", DeviceError: "INTERNAL"}

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Request:
    """One request of a sequence.

    sequence: Triton's correlation id. frame: uint8 (H, W, 3) BGR. box: x, y, w, h, frame pixels, 0-based. time: s, of
    any clock. problem: why frame, box or time cannot be used; start and end are valid even then. Without a problem
    there is a frame.
    """

    sequence: int
    start: bool = False
    end: bool = False
    frame: NDArray[np.uint8] | None = None
    box: tuple[float, ...] | None = None
    time: float | None = None
    problem: DcfnetError | None = None


@dataclass(frozen=True)
class Answer:
    """The target of a sequence after a request. result: None for the request that started it."""

    box: Box
    result: Result | None = None


def request_of(tensors: Tensors) -> Request:
    """The request in these tensors, whose first axis is the batch axis. Optional tensors can be missing.

    Raises KeyError without the control CORRID, which Triton adds to every request.
    """
    sequence = int(tensors["CORRID"].flat[0])
    start, end = (name in tensors and bool(tensors[name].flat[0]) for name in ("START", "END"))
    try:
        frame, box, time = _frame(tensors), _box(tensors), _time(tensors)
    except DcfnetError as problem:
        return Request(sequence, start, end, problem=problem)
    return Request(sequence, start, end, frame, box, time)


def tensors_of(answer: Answer) -> dict[str, NDArray[Any]]:
    """The outputs, with a batch axis of 1: BOX float64 (1, 4), STATUS and REASON UTF-8, CONFIDENCE float64 (1, 1).

    For a request that started a target STATUS and REASON are empty, as in the files of dcfnet-run. CONFIDENCE is -1
    if there is none.
    """
    result = answer.result
    confidence = result.confidence if result else None
    return {
        "BOX": np.array([answer.box], np.float64),
        "STATUS": _text(result.status.value if result else ""),
        "REASON": _text(result.reason.value if result else ""),
        "CONFIDENCE": np.array([[NO_CONFIDENCE if confidence is None else confidence]], np.float64),
    }


def error_code(error: DcfnetError) -> str:
    """The name of Triton's error code. Errors that the client can mend in its request are INVALID_ARG."""
    return ERROR_CODES.get(type(error), "INVALID_ARG")


def _frame(tensors: Tensors) -> NDArray[np.uint8]:
    if "FRAME" not in tensors:
        raise InvalidFrameError("no FRAME: every request needs one, uint8 (1, H, W, 3) BGR", empty=True)
    frame = tensors["FRAME"]
    if frame.ndim != 4 or len(frame) != 1:
        raise InvalidFrameError(f"FRAME has shape {frame.shape}: it must be (1, H, W, 3), one frame for each request")
    pixels: NDArray[np.uint8] = frame[0]
    return pixels


def _box(tensors: Tensors) -> tuple[float, ...] | None:
    if "BOX" not in tensors:
        return None
    if tensors["BOX"].size != 4:
        raise InvalidBoxError(f"BOX has shape {tensors['BOX'].shape}: it must be (1, 4), with x, y, w, h")
    return tuple(float(value) for value in tensors["BOX"].flat)


def _time(tensors: Tensors) -> float | None:
    if "TIME" not in tensors:
        return None
    if tensors["TIME"].size != 1:
        raise TimestampError(f"TIME has shape {tensors['TIME'].shape}: it must be (1, 1), seconds")
    return times_by_source(float(tensors["TIME"].flat[0]), [0])[0]


def _text(value: str) -> NDArray[np.object_]:
    return np.array([[value.encode()]], np.object_)  # Triton's TYPE_STRING is an array of bytes objects
