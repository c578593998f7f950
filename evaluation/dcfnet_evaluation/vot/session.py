"""What the tracker answers to the evaluation's requests. Conversions between VOT's regions and our boxes are here.

Frame of reference: a pixel of a VOT rectangle x, y, w, h is one of x .. x + w - 1, counted from 0, as in our boxes,
which therefore pass unchanged. A VOT polygon includes the pixels its corners name: from corner 10 to corner 19 it is 10
pixels wide. Both as the toolkit draws them where it measures overlap (0.7.4 and 0.9.0, vot/region/raster.py).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from dcfnet.backend import Frame
from dcfnet.errors import DcfnetError, InvalidBoxError, InvalidFrameError
from dcfnet.geometry import Box
from dcfnet.tracker import Tracker

from dcfnet_evaluation.sequences import box_around
from dcfnet_evaluation.vot.trax import Message, VotError

_RAW = {"rgb": (np.uint8, 3), "gray8": (np.uint8, 1), "gray16": (np.uint16, 1)}  # name: (dtype, channels)


def open_tracker(
    model: Path | None = None, config: str | None = None, changes: Sequence[str] = (), preset: str | None = None
) -> Tracker:
    """The tracker of the options. Raises VotError saying what of them cannot be met."""
    try:
        tracker = Tracker(model, config=config, preset=preset)
        return Tracker(model, config=tracker.config.assign(changes)) if changes else tracker
    except DcfnetError as error:
        raise VotError(str(error)) from error


class Session:
    """One target followed for an evaluation, anew from every `initialize` on."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._started = False
        self._refused: Box | None = None  # the box given last, where the tracker could not start from it

    def answer(self, request: Message) -> Message:
        """The state that answers `initialize` or `frame`. Raises VotError for what the protocol does not allow."""
        if request.name == "initialize":
            image, region = request.expect(2)
            return self._initialize(image, read_region(region))
        if request.name != "frame":
            raise VotError(f"{request.name!r}: a tracker answers initialize, frame and quit")
        (image,) = request.expect(1)
        if not self._started:
            raise VotError("frame before initialize: the target is not known yet")
        return self._frame(image)

    def _initialize(self, image: str, box: Box) -> Message:
        """A box that cannot be tracked is answered as it was given: an evaluation has such boxes, and goes on."""
        self._started, self._refused = True, None
        frame = _logged(image)
        try:
            self._tracker.init(frame, box)  # type: ignore[arg-type]  # None is refused like any other non-frame
        except (InvalidBoxError, InvalidFrameError) as error:
            print(f"dcfnet-vot: {error}; the box given is answered until the next start", file=sys.stderr)
            self._refused = box
            return state(box, 0.0)
        return state(box)

    def _frame(self, image: str) -> Message:
        frame = _logged(image)
        if self._refused is not None:
            return state(self._refused, 0.0)
        result = self._tracker.update(frame)
        return state(result.box, result.psr)


def state(box: Box, confidence: float | None = None) -> Message:
    """The answer to a frame: a rectangle in VOT's pixels and the property `confidence`, 0 or more, no probability.

    confidence: the peak-to-sidelobe ratio of the response, 0 where there was none; None leaves it out.
    """
    region = ",".join(f"{value:.4f}" for value in box)
    return Message("state", (region,), {} if confidence is None else {"confidence": f"{confidence:.4f}"})


def read_region(text: str) -> Box:
    """The box of a rectangle "x,y,w,h", or the upright box around a polygon "x1,y1,x2,y2,x3,y3,...", in our pixels.

    Raises VotError for anything else, a mask too.
    """
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 4 and all(map(math.isfinite, values)):
        return Box(*values)
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise VotError(f"region {text!r:.80}: must be a rectangle x,y,w,h or a polygon of three points or more")
    return Box(*box_around(values))


def _logged(image: str) -> Frame | None:
    """The frame, or None, and a line in the log, where it is not a readable image."""
    frame = read_image(image)
    if frame is None:
        print(f"dcfnet-vot: {image!r:.200}: not a readable image", file=sys.stderr)
    return frame


def read_image(uri: str) -> Frame | None:
    """The frame of an image of the protocol, uint8 (H, W, 3) BGR; None where the file or its content is no image.

    uri: "file://" and a path, or a bare path; "image:W;H;rgb;" (or gray8, gray16), "data:image/jpeg;" (or png), and
    Base64. Raises VotError for another kind, and for pixels that are not as many as W x H.
    """
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "image":
        return _raw_image(rest)
    if colon and scheme == "data":
        return _decoded(_base64(re.split("[;,]", rest)[-1]))
    if "://" in uri and scheme != "file":
        raise VotError(f"image {uri!r:.80}: not a file; this tracker announced path, memory and buffer")
    file = Path(rest.removeprefix("//") if colon and scheme == "file" else uri)
    try:
        return _decoded(file.read_bytes())
    except OSError:
        return None


def _decoded(content: bytes) -> Frame | None:
    if not content:
        return None  # OpenCV raises for no bytes at all
    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)


def _raw_image(text: str) -> Frame:
    width, height, kind, pixels = (*text.split(";", 3), "", "", "", "")[:4]
    if not (width.isdecimal() and height.isdecimal() and kind in _RAW):
        raise VotError(f"image 'image:{text:.60}': must be image:WIDTH;HEIGHT;KIND; with KIND of {', '.join(_RAW)}")
    dtype, channels = _RAW[kind]
    content = _base64(pixels)
    expected = int(width) * int(height) * channels * np.dtype(dtype).itemsize
    if not expected or len(content) != expected:
        raise VotError(f"image of {width} x {height} {kind}: {len(content)} bytes instead of {expected}")
    values = np.frombuffer(content, dtype=dtype) >> 8 * (kind == "gray16")  # its high byte
    image = values.reshape(int(height), int(width), channels)[..., ::-1]  # RGB to BGR
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)), dtype=np.uint8)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise VotError(f"image: its Base64 is broken ({error})") from error
