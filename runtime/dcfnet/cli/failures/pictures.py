"""The pictures of a failure: crops around the box as JPEG, small ones with the box drawn, and response maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.io.decoding.images import decode_image
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.rectangle import Rectangle
from dcfnet.io.sinks.boxes import BoxLine, json_row
from dcfnet.io.sinks.video import COLOURS
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Box, Result, Status

LONG_SIDE = 640  # px, largest side of a stored picture
CONTEXT = 8  # sides of the target that a crop shows at least, if the frame is as large
QUALITY = 80  # of stored pictures: about 60 kB for 640 x 480 px
# Pictures in the page are cut again, so that a small target can be seen on a telephone: about 10 kB each.
SMALL_SIDE, SMALL_CONTEXT, SMALL_QUALITY = 240, 4, 70
RESPONSE_SCALE = 3  # px of the picture per px of the response map


@dataclass(frozen=True)
class RecordedFrame:
    """A frame as it is kept: its result, and a crop around the box as JPEG.

    index: 0-based number of the frame. time: seconds after the first frame. box: frame pixels. result: None for the
    first frame. crop: what the picture shows, frame pixels. jpeg: None if the frame could not be decoded.
    """

    index: int
    time: float
    box: Box
    result: Result | None
    crop: Rectangle
    jpeg: bytes | None = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the file of the picture."""
        return f"{self.index:06d}.jpg"

    def row(self) -> dict[str, object]:
        """The line in results.jsonl: that of `--boxes`, with the picture and [x, y, w, h] of its crop."""
        row = json_row(BoxLine(self.index, self.box, self.result, self.time))
        if self.jpeg is None:
            return row
        left, top, right, bottom = self.crop
        return row | {"picture": self.name, "crop": [left, top, right - left, bottom - top]}


def record(index: int, frame: SourceFrame, box: Box, result: Result | None) -> RecordedFrame:
    """The frame with a crop around the box, JPEG, at most LONG_SIDE px wide and high."""
    if frame.pixels is None:
        return RecordedFrame(index, frame.time, box, result, Rectangle(), None)
    crop = crop_around(box, frame_size(frame.pixels), LONG_SIDE, CONTEXT)
    picture, _ = shrunk(frame.pixels[crop.slices], LONG_SIDE)
    return RecordedFrame(index, frame.time, box, result, crop, encoded(picture, ".jpg", QUALITY))


def crop_around(box: Box, size: tuple[int, int], least: int, context: float) -> Rectangle:
    """The part of a frame around the box: `context` sides of the box and at least `least` px, if the frame has them.

    size: (width, height) of the frame. The rectangle is inside the frame.
    """
    wanted = max(least, round(context * max(box.size)))
    (left, right), (top, bottom) = (_span(middle, wanted, end) for middle, end in zip(box.centre, size, strict=True))
    return Rectangle(left, top, right, bottom)


def _span(middle: float, length: int, end: int) -> tuple[int, int]:
    """The `length` pixels around `middle`, moved into 0 .. end - 1."""
    length = min(length, end)
    first = min(max(round(middle - length / 2), 0), end - length)
    return first, first + length


def large_picture(recorded: RecordedFrame) -> bytes | None:
    """The stored picture with the box drawn, JPEG; None without a picture."""
    if recorded.jpeg is None:
        return None
    picture, box = _stored(recorded.jpeg, recorded)
    return encoded(_with_box(picture, box, recorded.result), ".jpg", QUALITY)


def small_picture(recorded: RecordedFrame) -> bytes | None:
    """The surroundings of the box, with the box drawn, JPEG, at most SMALL_SIDE px wide and high; None as above."""
    if recorded.jpeg is None:
        return None
    picture, box = _stored(recorded.jpeg, recorded)
    crop = crop_around(box, frame_size(picture), SMALL_SIDE // 2, SMALL_CONTEXT)
    part, scale = shrunk(picture[crop.slices], SMALL_SIDE)
    return encoded(_with_box(part, in_crop(box, crop, scale), recorded.result), ".jpg", SMALL_QUALITY)


def _with_box(picture: Frame, box: Box, result: Result | None) -> Frame:
    """The picture with the box in the colour of its status. Unlike `annotate` it writes no text."""
    status = result.status if result else Status.TRACKED
    cv2.rectangle(picture, box.rounded(), COLOURS[status], 2, cv2.LINE_AA)
    return picture


def _stored(jpeg: bytes, recorded: RecordedFrame) -> tuple[Frame, Box]:
    """The stored picture, and the box in its pixels."""
    picture = decode_image(jpeg, recorded.name)
    scale = picture.shape[1] / (recorded.crop.right - recorded.crop.left)
    return picture, in_crop(recorded.box, recorded.crop, scale)


def in_crop(box: Box, crop: Rectangle, scale: float) -> Box:
    """The box in the pixels of a crop that was scaled."""
    return Box((box.x - crop.left) * scale, (box.y - crop.top) * scale, box.w * scale, box.h * scale)


def response_picture(response: NDArray[np.float32]) -> bytes | None:
    """A response map (R, R) as PNG: dark is its lowest value, bright its peak."""
    low, high = float(response.min()), float(response.max())
    if not np.isfinite([low, high]).all() or low == high:
        return None
    levels = ((response - low) * (255 / (high - low))).astype(np.uint8)
    side = RESPONSE_SCALE * response.shape[0]
    large = cv2.resize(levels, (side, side), interpolation=cv2.INTER_NEAREST)
    return encoded(cv2.applyColorMap(large, cv2.COLORMAP_VIRIDIS), ".png", None)


def shrunk(picture: NDArray[Any], side: int) -> tuple[Frame, float]:
    """The picture, made smaller if a side is longer than `side` px, and the scale."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(picture), 1.0
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), scale


def encoded(picture: NDArray[Any], suffix: str, quality: int | None) -> bytes | None:
    """The picture as JPEG or PNG; None if OpenCV cannot encode it."""
    done, content = cv2.imencode(suffix, picture, [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes() if done else None
