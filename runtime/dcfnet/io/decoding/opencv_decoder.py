"""Videos, cameras and GStreamer pipelines with OpenCV. No other module opens them with OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from dcfnet.errors import SourceError
from dcfnet.io.decoding.decoder import HIGHEST_FPS, Decoded
from dcfnet.io.decoding.levels import Levels

MOST_ERRORS = 1000  # failed reads in a row before the end is assumed; at the real end each takes microseconds


class OpenCvDecoder:
    """A video file, a stream, a camera by its number or path, or a pipeline. See `Decoder`."""

    library = "OpenCV"

    def __init__(
        self,
        place: str | int,
        name: str,
        live: bool,
        levels: Levels,
        backend: int = cv2.CAP_ANY,
        parameters: Sequence[int] = (),
    ) -> None:
        """name: for messages. live: stop at the first failed read. parameters: of `VideoCapture.open`, name and value
        in turn. Raises SourceError."""
        if isinstance(place, int):
            self._capture = cv2.VideoCapture(place, backend)
        else:
            self._capture = _open(place, backend, parameters)
        if not self._capture.isOpened():
            raise SourceError(f"{name}: cannot be opened")
        self._levels, self._live = levels, live
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= HIGHEST_FPS else 0.0
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.duration = 0.0  # OpenCV computes it from the count
        self._codec = _four_letters(self._capture.get(cv2.CAP_PROP_FOURCC))
        self._pixels = _four_letters(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))

    @property
    def stored(self) -> str:
        """Codec and pixel format."""
        return f"{self._codec or 'unknown'} video" + f", {self._pixels}" * bool(self._pixels)

    def decode(self) -> Iterator[Decoded]:
        """See `Decoder`."""
        errors = 0
        try:
            while errors < MOST_ERRORS:
                ok, frame = self._capture.read()
                if ok:
                    yield from [Decoded(None)] * errors
                    errors = 0
                    time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    yield Decoded(self._levels.to_bgr(frame), time if np.isfinite(time) and time >= 0 else None)
                elif self._live:
                    return
                else:
                    errors += 1
        finally:
            self._capture.release()


def container_count(video: Path) -> int:
    """Number of frames that the container claims; 0 if it claims none or is no video."""
    return max(int(_open(str(video), cv2.CAP_ANY).get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def _open(place: str, backend: int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    capture = cv2.VideoCapture()
    try:
        capture.open(place, backend, parameters)
    except cv2.error:  # then it is not opened
        capture.release()
    return capture


def _four_letters(value: float) -> str:
    """The text of a FourCC; "" if it is not readable text."""
    text = int(max(value, 0)).to_bytes(8, "little")[:4].decode("latin-1").strip("\0 ")
    return text if text.isascii() and text.isprintable() else ""
