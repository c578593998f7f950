"""Frame sources: video files, folders of images, cameras and streams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dcfnet.errors import SourceError
from dcfnet.io.frame import Frame

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
DEFAULT_FPS = 25.0  # frames per second of a written video if the source has no rate


@dataclass(frozen=True)
class FrameSource:
    """An opened source. Iteration reads its frames, uint8 (H, W, 3) BGR.

    fps: frames per second, for a written video. length: number of frames; None if it is unknown.
    """

    name: str
    fps: float
    length: int | None
    frames: Iterator[Frame]

    def __iter__(self) -> Iterator[Frame]:
        return self.frames


def open_source(source: str | Path) -> FrameSource:
    """Opens a video file, a folder of images in natural order, a camera by its number, or a stream by its URL.

    Raises SourceError, here or during iteration, with the name of the source and the problem.
    """
    text = str(source)
    if text.isdecimal() and not Path(text).exists():
        return _open_capture(int(text), f"camera {text}")
    if "://" in text:
        return _open_capture(text, text)
    path = Path(text)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise SourceError(f"{path}: a single image; give the folder that contains it, or a video")
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty")
    return _open_capture(str(path), str(path))


def _open_folder(folder: Path) -> FrameSource:
    files = image_files(folder)
    if not files:
        raise SourceError(f"{folder}: no images in this folder; the suffixes are {', '.join(IMAGE_SUFFIXES)}")
    return FrameSource(str(folder), DEFAULT_FPS, len(files), (_read_image(file) for file in files))


def image_files(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in natural order (9.jpg before 10.jpg), without hidden files, for example "._1.jpg"."""
    images = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    return tuple(sorted((p for p in images if not p.name.startswith(".")), key=lambda path: natural_order(path.name)))


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key that puts 9.jpg before 10.jpg."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _read_image(file: Path) -> Frame:
    # imdecode, not imread: non-ASCII paths work on all platforms, and it prints no warnings.
    image = cv2.imdecode(np.fromfile(file, dtype=np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
    if image is None:
        raise SourceError(f"{file}: not a readable image")
    return image.astype(np.uint8, copy=False)


def _open_capture(source: int | str, name: str) -> FrameSource:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise SourceError(
            f"{name}: cannot be opened; check the name, and that OpenCV supports this camera, stream or codec"
        )
    fps = capture.get(cv2.CAP_PROP_FPS)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    length = count if count > 0 else None
    return FrameSource(name, fps if fps > 0 else DEFAULT_FPS, length, _read(capture, name, length or 0))


def _read(capture: cv2.VideoCapture, name: str, length: int) -> Iterator[Frame]:
    number = 0
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            number += 1
            yield frame.astype(np.uint8, copy=False)
    finally:
        capture.release()
    if number == 0:
        raise SourceError(f"{name}: no frame could be decoded")
    if number < 0.9 * length:  # some containers count a few frames too many, but not a tenth of them
        raise SourceError(f"{name}: ends after {number} of {length} frames; the file may be truncated or damaged")
