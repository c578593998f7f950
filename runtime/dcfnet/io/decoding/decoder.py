"""What a video decoder yields. `pyav_decoder.py` and `opencv_decoder.py` implement `Decoder`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from dcfnet.io.frame import Frame

HIGHEST_FPS = 240.0  # some containers give the unit of their clock as the rate, for example 1000


class Decoded(NamedTuple):
    """One answer of a decoder.

    pixels: uint8 (H, W, 3) BGR; None if the decoder reports an error here. time: seconds on the clock of the container;
    None if it has none. damaged: the decoder filled missing parts of the picture. skipped: number of frames before this
    one that the container has and the decoder did not return; None if unknown.
    """

    pixels: Frame | None
    time: float | None = None
    damaged: bool = False
    skipped: int | None = None


class Decoder(Protocol):
    """An opened video.

    library: "PyAV" or "OpenCV". fps: nominal frames per second. count: number of frames that the container claims.
    duration: seconds that the container claims for the pictures. All three are 0 if unknown, and none is evidence of
    what can be decoded. stored: codec and pixel format, in words.
    """

    library: str
    fps: float
    count: int
    duration: float

    @property
    def stored(self) -> str: ...

    def decode(self) -> Iterator[Decoded]:
        """Decodes the video once, in the order of display. Raises nothing: errors are answers without pixels."""
