"""Readers of images, animations, masks and videos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from dcfnet.errors import SourceError
from dcfnet.io.bags.source import open_bag
from dcfnet.io.decoding.images import decode_mask, decode_moving, read_image
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.videos import open_video

from tests.fuzz.damage import Reader
from tests.runtime.bags.recordings import compressed, image, in_order, record

PICTURE = np.random.default_rng(0).integers(0, 256, size=(12, 16, 3), dtype=np.uint8)
DEEP = PICTURE.astype(np.uint16) * 200
PAIR = (PICTURE, PICTURE[::-1].copy())


def _encoded(suffix: str, picture: np.ndarray = PICTURE) -> Reader:
    content = cv2.imencode(suffix, picture)[1].tobytes()
    return Reader(f"image_{picture.dtype}{suffix}", lambda: content, read_image)


def _moving(suffix: str, content: bytes) -> Reader:
    def read(file: Path) -> None:
        if not decode_moving(file.read_bytes(), suffix)[0]:
            raise SourceError("no pictures")

    return Reader(f"moving{suffix}", lambda: content, read)


def _animation(suffix: str) -> bytes:
    animation = cv2.Animation()
    animation.frames, animation.durations = list(PAIR), [40, 40]
    return bytes(cv2.imencodeanimation(suffix, animation)[1])


@cache
def _video(suffix: str, code: str, frames: int = 4) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder, f"a{suffix}")
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 25, (64, 48))
        for index in range(frames):
            writer.write(np.roll(cv2.resize(PICTURE, (64, 48)), index, axis=1))
        writer.release()
        return file.read_bytes()


@cache
def _bag(suffix: str) -> bytes:
    """Two images and two compressed images."""
    with TemporaryDirectory() as folder:
        bodies = [image(PICTURE, "bgr8"), compressed(PICTURE, ".jpg", "jpeg")]
        messages = [
            message for body, topic in zip(bodies, "ab", strict=True) for message in in_order([body] * 2, topic)
        ]
        return record(Path(folder, f"a{suffix}"), messages).read_bytes()


def _read_bag(file: Path) -> Sequence[object]:
    return [frame.pixels is None for topic in "ab" for frame in open_bag(file, topic, Levels()).frames]


def _read_video(file: Path) -> Sequence[object]:
    return [frame.pixels is None for frame in open_video(str(file), str(file), Levels()).frames]


JPEG_2000 = cv2.imencode(".jp2", np.tile(PICTURE, (6, 6, 1)))[1].tobytes()  # it must be larger than the others
READERS = (
    Reader("image.jp2", lambda: JPEG_2000, read_image),
    *(_encoded(suffix) for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm", ".gif", ".avif")),
    *(_encoded(suffix, DEEP) for suffix in (".png", ".tiff")),
    _encoded(".pgm", DEEP[..., 0]),
    _encoded(".pfm", PICTURE.astype(np.float32)),
    _encoded(".hdr", PICTURE.astype(np.float32)),
    *(_moving(suffix, _animation(suffix)) for suffix in (".gif", ".webp", ".png", ".avif")),
    _moving(".tiff", bytes(cv2.imencodemulti(".tiff", list(PAIR))[1])),
    Reader(
        "mask.png",
        lambda: cv2.imencode(".png", PICTURE[..., 0])[1].tobytes(),
        lambda file: decode_mask(file.read_bytes(), file.name),
    ),
    Reader("video.mp4", lambda: _video(".mp4", "mp4v"), _read_video),
    *(Reader(f"bag{suffix}", partial(_bag, suffix), _read_bag) for suffix in (".bag", ".mcap", ".db3")),
    Reader("video.avi", lambda: _video(".avi", "MJPG"), _read_video),
)
