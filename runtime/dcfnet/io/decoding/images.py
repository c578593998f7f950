"""Decodes still images. All packages of the project use this module, so they see the same pixels."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import SourceError
from dcfnet.io.decoding.animated_png import is_animated, is_complete
from dcfnet.io.decoding.image_header import refusal
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.frame import Frame

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2"),
    *(".pgm", ".ppm", ".pnm", ".pbm", ".pfm", ".hdr"),
)
ANIMATED_SUFFIXES = (".webp", ".gif", ".png", ".avif")
PAGED_SUFFIXES = (".tif", ".tiff")
KEEP_DEPTH = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # unlike IMREAD_UNCHANGED, it applies the EXIF orientation
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
LFS_POINTER = b"version https://git-lfs"
FILLED_ROWS = 8  # libjpeg fills missing blocks of 8 x 8 pixels or more with one colour


def read_image(file: Path, levels: Levels | None = None) -> Frame:
    """The image in a file, uint8 (H, W, 3) BGR, turned by its EXIF orientation.

    levels: the range for images of more than 8 bits; default: the range of this image. Raises SourceError with the file
    and the cause.
    """
    return decode_image(read_content(file), str(file), levels)


@lru_cache(maxsize=64)
def levels_of(first: Path) -> Levels:
    """The grey levels of a sequence, which its first image defines. For readers that start at any frame."""
    levels = Levels()
    with suppress(SourceError):
        read_image(first, levels)
    return levels


def read_content(file: Path) -> bytes:
    """The bytes of a file. Raises SourceError with the file and the cause."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: cannot be read ({error.strerror})") from error
    if not content:
        raise SourceError(f"{file}: not a readable image (the file is empty)")
    return content


def decode_image(content: bytes, name: str, levels: Levels | None = None) -> Frame:
    """The image in these bytes, as `read_image`. name: for the message."""
    image = _decode(content, KEEP_DEPTH)
    if image is None and content.startswith(JPEG_START) and not content.rstrip(b"\0").endswith(JPEG_END):
        image = _decode_open_jpeg(content)
    if image is None:
        raise SourceError(f"{name}: not a readable image ({_cause(content)})")
    return (levels or Levels()).to_bgr(image)


def decode_mask(content: bytes, name: str) -> NDArray[np.uint8]:
    """A mask or a map of labels, uint8 (H, W), unchanged. Raises SourceError."""
    image = _decode(content, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SourceError(f"{name}: not a readable image ({_cause(content)})")
    return image.astype(np.uint8, copy=False)


def decode_moving(content: bytes, suffix: str) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """The pictures of an animation or of a file with pages, and the seconds that each is shown.

    Pages are shown for 0 s, because they have no time. Both lists have one entry for a still image and none for a file
    that cannot be decoded.
    """
    buffer = np.frombuffer(content, np.uint8)
    if refusal(content) or (is_animated(content) and not is_complete(content)):
        return [], []
    try:
        if suffix in PAGED_SUFFIXES:
            _, pages = cv2.imdecodemulti(buffer, KEEP_DEPTH)
            return list(pages), [0.0] * len(pages)  # type: ignore[arg-type]  # OpenCV names only two types
        _, animation = cv2.imdecodeanimation(buffer)
    except cv2.error:
        return [], []
    return list(animation.frames), [duration / 1000 for duration in animation.durations]  # type: ignore[arg-type]


def _decode(content: bytes, flags: int) -> NDArray[np.uint8] | None:
    # imdecode, not imread: non-ASCII paths work on all platforms, and it prints fewer warnings.
    if refusal(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None  # type: ignore[return-value]
    except cv2.error:  # for example an image with more pixels than OpenCV allows
        return None


def _decode_open_jpeg(content: bytes) -> NDArray[np.uint8] | None:
    """A JPEG without its end marker. None if rows of pixels are missing too: they would be one grey surface."""
    image = _decode(content + JPEG_END, KEEP_DEPTH)
    if image is None:
        return None
    last_rows = image[-FILLED_ROWS:].reshape(-1, *image.shape[2:])
    return None if (np.ptp(last_rows, axis=0) == 0).all() else image


def _cause(content: bytes) -> str:
    if not content:
        return "it has no bytes"
    if claim := refusal(content):
        return claim
    if content.startswith(LFS_POINTER):
        return "it is a pointer of Git LFS; fetch the file itself with: git lfs pull"
    if content.startswith(JPEG_START):
        return f"a JPEG of {len(content)} bytes that ends early or is damaged"
    return f"{len(content)} bytes that OpenCV cannot decode; the file is damaged, or is of another type"
