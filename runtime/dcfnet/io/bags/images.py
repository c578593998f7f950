"""Images of ROS messages as BGR frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import SourceError
from dcfnet.io.decoding.images import decode_image
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.frame import Frame

Pixels = NDArray[Any]


def _converted(code: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _same(pixels: Pixels) -> Pixels:
    return pixels


# ROS names the first two rows of the Bayer pattern, as the codes with four letters do.
BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2BGR,
    "bggr": cv2.COLOR_BayerBGGR2BGR,
    "gbrg": cv2.COLOR_BayerGBRG2BGR,
    "grbg": cv2.COLOR_BayerGRBG2BGR,
}
# encoding -> dtype, channels in the message, conversion to BGR or grey. Source: sensor_msgs/image_encodings.hpp
ENCODINGS: dict[str, tuple[type[np.generic], int, Callable[[Pixels], Pixels]]] = {
    "bgr8": (np.uint8, 3, _same),
    "rgb8": (np.uint8, 3, _converted(cv2.COLOR_RGB2BGR)),
    "bgra8": (np.uint8, 4, _same),
    "rgba8": (np.uint8, 4, _converted(cv2.COLOR_RGBA2BGR)),
    "bgr16": (np.uint16, 3, _same),
    "rgb16": (np.uint16, 3, _converted(cv2.COLOR_RGB2BGR)),
    "mono8": (np.uint8, 1, _same),
    "mono16": (np.uint16, 1, _same),
    "8UC1": (np.uint8, 1, _same),
    "8UC3": (np.uint8, 3, _same),
    "16UC1": (np.uint16, 1, _same),
    "32FC1": (np.float32, 1, _same),
    "yuv422": (np.uint8, 2, _converted(cv2.COLOR_YUV2BGR_UYVY)),
    "uyvy": (np.uint8, 2, _converted(cv2.COLOR_YUV2BGR_UYVY)),
    "yuv422_yuy2": (np.uint8, 2, _converted(cv2.COLOR_YUV2BGR_YUY2)),
    "yuyv": (np.uint8, 2, _converted(cv2.COLOR_YUV2BGR_YUY2)),
    **{f"bayer_{name}8": (np.uint8, 1, _converted(code)) for name, code in BAYER.items()},
    **{f"bayer_{name}16": (np.uint16, 1, _converted(code)) for name, code in BAYER.items()},
}


def decode_message(message: Any, name: str, levels: Levels) -> Frame:
    """uint8 (H, W, 3) BGR of a sensor_msgs Image or CompressedImage, of rosbags or of rclpy.

    levels: of images of more than 8 bits. name: for the message of an error.
    Raises SourceError: the encoding is not supported, or the data does not fit.
    """
    if _is_compressed(message):
        return _decode_compressed(message, name, levels)
    if message.encoding not in ENCODINGS:
        raise SourceError(
            f"{name}: the encoding {message.encoding!r} is not supported; supported are {', '.join(ENCODINGS)}"
        )
    dtype, channels, convert = ENCODINGS[message.encoding]
    pixels = _pixels(message, np.dtype(dtype), channels, name)
    try:
        return levels.to_bgr(convert(pixels))
    except cv2.error as error:
        raise SourceError(f"{name}: {message.width} x {message.height} {message.encoding} cannot be decoded") from error


def encoding_of(message: Any) -> str:
    """How the pixels of a message are stored, in words."""
    return f"compressed, {message.format}" if _is_compressed(message) else str(message.encoding)


def _is_compressed(message: Any) -> bool:
    """Whether it is a CompressedImage, as rosbags or as rclpy made it."""
    return not hasattr(message, "encoding")


def _pixels(message: Any, dtype: np.dtype[Any], channels: int, name: str) -> Pixels:
    """The pixels (H, W) or (H, W, channels), without the bytes that fill up rows, in the byte order of this machine."""
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if not (height and width and step >= row and len(message.data) >= height * step):
        raise SourceError(
            f"{name}: {width} x {height} {message.encoding} with {step} bytes a row has {len(message.data)} bytes; "
            f"must have rows of at least {row} bytes, and all of them"
        )
    rows = np.asarray(message.data)[: height * step].reshape(height, step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(dtype.newbyteorder(">" if message.is_bigendian else "<")).astype(dtype)
    return pixels.reshape(height, width, channels) if channels > 1 else pixels


def _decode_compressed(message: Any, name: str, levels: Levels) -> Frame:
    if "compresseddepth" in message.format.lower():
        raise SourceError(f"{name}: the format {message.format!r} is not supported; give a topic of colour or grey")
    return decode_image(bytes(message.data), name, levels)
