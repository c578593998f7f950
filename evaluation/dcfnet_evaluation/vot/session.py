"""Answers to the requests of the evaluation; conversions between VOT regions and our boxes.

Frame of reference: a VOT rectangle x, y, w, h covers the 0-based pixels x .. x + w - 1. Our boxes do the same, so
rectangles are not converted. A VOT polygon includes its corner pixels: from corner 10 to corner 19 it is 10 pixels
wide. The toolkit measures overlap in this way (0.7.4 and 0.9.0, vot/region/raster.py).
"""

from __future__ import annotations

import base64
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dcfnet.cli.messages import as_options
from dcfnet.errors import DcfnetError, InvalidBoxError, InvalidFrameError, SourceError
from dcfnet.io.decoding.images import decode_image
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.frame import Frame
from dcfnet.result import Box
from dcfnet.tracker import Tracker

from dcfnet_evaluation.sequences import box_around
from dcfnet_evaluation.vot.trax import Message, VotError

_RAW_FORMATS = {"rgb": (np.uint8, 3), "gray8": (np.uint8, 1), "gray16": (np.uint16, 1)}  # name: (dtype, channels)

MOST_DIGITS = 9  # of the width and of the height of an image


def open_tracker(
    model: Path | None = None, config: str | None = None, changes: Sequence[str] = (), preset: str | None = None
) -> Tracker:
    """Opens the tracker. Raises VotError if an option is invalid or the tracker cannot be opened."""
    try:
        tracker = Tracker(model, config=config, preset=preset)
        return Tracker(model, config=tracker.config.assign(changes)) if changes else tracker
    except DcfnetError as error:
        raise VotError(as_options(error, "config", "preset")) from error


class Session:
    """Tracks one target for an evaluation. Every `initialize` request starts a new target."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._started = False
        self._rejected_box: Box | None = None  # box of the last initialize, if the tracker could not start from it
        self._levels = Levels()  # grey levels of the sequence, for images of more than 8 bits

    def answer(self, request: Message) -> Message:
        """The state message for an `initialize` or `frame` request. Raises VotError if the request is invalid."""
        if request.name == "initialize":
            image, region = request.expect(2)
            return self._initialize(image, read_region(region))
        if request.name != "frame":
            raise VotError(f"request {request.name!r}: must be initialize, frame or quit")
        (image,) = request.expect(1)
        if not self._started:
            raise VotError("frame before initialize: the target is unknown; send initialize first")
        return self._frame(image)

    def _initialize(self, image: str, box: Box) -> Message:
        """If the tracker cannot start from a box, the answer is that box: evaluations send such boxes and continue."""
        self._started, self._rejected_box, self._levels = True, None, Levels()
        frame = _read_or_log(image, self._levels)
        try:
            self._tracker.init(frame, box)  # type: ignore[arg-type]  # None raises InvalidFrameError
        except (InvalidBoxError, InvalidFrameError) as error:
            print(f"dcfnet-vot: {error}; answers this box until the next initialize", file=sys.stderr)
            self._rejected_box = box
            return state(box, 0.0)
        return state(box)

    def _frame(self, image: str) -> Message:
        frame = _read_or_log(image, self._levels)
        if self._rejected_box is not None:
            return state(self._rejected_box, 0.0)
        result = self._tracker.update(frame)
        return state(result.box, result.psr)


def state(box: Box, confidence: float | None = None) -> Message:
    """The state message: a rectangle in VOT pixels and the property `confidence`, at least 0, not a probability.

    confidence: PSR of the response map, 0 if there was none; None leaves the property out.
    """
    region = ",".join(f"{value:.4f}" for value in box)
    return Message("state", (region,), {} if confidence is None else {"confidence": f"{confidence:.4f}"})


def read_region(text: str) -> Box:
    """The box of a rectangle "x,y,w,h", or the box around a polygon "x1,y1,x2,y2,x3,y3,...", in our pixels.

    Raises VotError for any other region, for example a mask.
    """
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 4 and all(map(math.isfinite, values)):
        return Box(*values)
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise VotError(f"region {text!r:.80}: must be a rectangle x,y,w,h or a polygon with at least 3 corners")
    return Box(*box_around(values))


def _read_or_log(image: str, levels: Levels) -> Frame | None:
    """The frame; if the image is not readable, logs one line and returns None."""
    frame = read_image(image, levels)
    if frame is None:
        print(f"dcfnet-vot: {image!r:.200}: not a readable image", file=sys.stderr)
    return frame


def read_image(uri: str, levels: Levels | None = None) -> Frame | None:
    """Reads an image of the protocol, uint8 (H, W, 3) BGR; None if the file or the content is not an image.

    uri: a path, with or without "file://"; or "image:W;H;rgb;" (also gray8, gray16) and Base64 pixels; or
    "data:image/jpeg;" (also png) and Base64. levels: grey levels of the sequence; default: all levels.

    Raises VotError if the scheme is unknown, the Base64 is invalid, or the number of pixels is not W x H.
    """
    levels = levels or Levels("full")
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "image":
        return _decode_raw(rest, levels)
    if colon and scheme == "data":
        return _decode(_decode_base64(re.split("[;,]", rest)[-1]), levels)
    if "://" in uri and scheme != "file":
        raise VotError(f"image {uri!r:.80}: not a file; this tracker accepts path, memory and buffer images")
    file = Path(rest.removeprefix("//") if colon and scheme == "file" else uri)
    try:
        return _decode(file.read_bytes(), levels)
    except (OSError, ValueError):  # ValueError: the path has a null byte
        return None


def _decode(content: bytes, levels: Levels) -> Frame | None:
    try:
        return decode_image(content, "image", levels)
    except SourceError:
        return None


def _decode_raw(text: str, levels: Levels) -> Frame:
    width, height, kind, pixels = (*text.split(";", 3), "", "", "", "")[:4]
    numbers = all(side.isdecimal() and len(side) <= MOST_DIGITS for side in (width, height))
    if not (numbers and kind in _RAW_FORMATS):
        raise VotError(
            f"image 'image:{text:.60}': must be image:WIDTH;HEIGHT;KIND; with KIND one of {', '.join(_RAW_FORMATS)}"
        )
    dtype, channels = _RAW_FORMATS[kind]
    content = _decode_base64(pixels)
    expected = int(width) * int(height) * channels * np.dtype(dtype).itemsize
    if not expected or len(content) != expected:
        raise VotError(
            f"image of {width} x {height} {kind}: has {len(content)} bytes; must have {expected}, and more than 0"
        )
    values = np.frombuffer(content, dtype=dtype).reshape(int(height), int(width), channels)
    return levels.to_bgr(values[..., ::-1])  # RGB to BGR


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # also for letters outside ASCII
        raise VotError(f"image: invalid Base64 ({error}); encode it again") from error
