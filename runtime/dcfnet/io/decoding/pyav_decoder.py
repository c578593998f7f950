"""Videos with PyAV, which gives exact times and tells errors. Only this module imports it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dcfnet.errors import SourceError
from dcfnet.io.decoding.decoder import HIGHEST_FPS, Decoded
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.frame import Frame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

TIMEOUT = 30.0  # s, to open a stream and to wait for its next packet; OpenCV waits as long
MOST_ERRORS = 1000  # demuxer errors in a row; a damaged file can have a few
WITH_DURATION = {"mov", "matroska", "flv", "asf"}  # containers whose header has it; AVI has only a count of frames
DEEP_GREY = ("gray9", "gray10", "gray12", "gray14", "gray16", "ya16")
DEEP_GREYS_AS = "gray16le"


def has_pyav() -> bool:
    """Whether PyAV 15 or later is installed and can be loaded."""
    try:
        import av
    except ImportError:
        return False
    return hasattr(av.VideoFrame, "rotation")  # new in 15


class PyavDecoder:
    """A video file or a stream, opened with PyAV. See `Decoder`."""

    library = "PyAV"

    def __init__(self, place: str, name: str, live: bool, levels: Levels) -> None:
        """place: path or URL. name: for messages. live: prefer a short delay. Raises SourceError."""
        import av

        self._av, self._levels = av, levels
        options = {"rtsp_transport": "tcp"} if place.lower().startswith("rtsp") else {}
        try:
            self._container: InputContainer = av.open(place, options=options, timeout=TIMEOUT if live else None)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{name}: cannot be opened as a video ({_words(error)})") from error
        self._stream = _picture_stream(self._container, name)
        self._stream.thread_type = "SLICE" if live else "AUTO"  # frame threads delay each frame by their number
        rates = (float(rate) for rate in (self._stream.guessed_rate, self._stream.average_rate) if rate)
        self.fps = next((rate for rate in rates if rate <= HIGHEST_FPS), 0.0)
        self.count = self._stream.frames
        self.duration = _duration(self._container, self._stream)
        self._waiting: list[int] = []  # a heap: time stamps of packets whose frames have not come yet

    @property
    def stored(self) -> str:
        """Codec, size and pixel format."""
        context = self._stream.codec_context
        parts = (f"{context.name} video", context.pix_fmt, self._levels.stored)
        return ", ".join(part for part in parts if part)

    def decode(self) -> Iterator[Decoded]:
        """See `Decoder`."""
        try:
            for packet in self._packets():
                if packet is None:
                    yield Decoded(None)
                    continue
                if packet.pts is not None and packet.size and not packet.is_discard:
                    heapq.heappush(self._waiting, packet.pts)
                try:
                    frames = packet.decode()
                except self._av.error.FFmpegError:
                    yield Decoded(None)
                    continue
                yield from map(self._picture, frames)
        finally:
            self._container.close()

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream, then an empty one; None for an error of the demuxer, after which reading goes on."""
        errors = 0
        packets = self._container.demux(self._stream)
        while errors < MOST_ERRORS:
            try:
                yield next(packets)
                errors = 0
            except StopIteration:
                return
            except (self._av.error.FFmpegError, OSError) as error:
                yield None
                errors += 1
                if not isinstance(error, self._av.error.InvalidDataError):
                    return  # the connection or the disk fails
                packets = self._container.demux(self._stream)

    def _picture(self, frame: av.VideoFrame) -> Decoded:
        skipped = self._skipped(frame.pts)
        try:
            return Decoded(self._pixels(frame), frame.time, bool(frame.is_corrupt), skipped)
        except (self._av.error.FFmpegError, ValueError):  # no conversion from this pixel format
            return Decoded(None, frame.time)

    def _skipped(self, place: int | None) -> int | None:
        """Number of packets before this place that gave no frame. place: time stamp of a frame."""
        if place is None:
            self._waiting.clear()
            return None
        skipped = 0
        while self._waiting and self._waiting[0] <= place:
            skipped += heapq.heappop(self._waiting) < place
        return skipped

    def _pixels(self, frame: av.VideoFrame) -> Frame:
        """uint8 (H, W, 3) BGR, turned as a player turns it. Grey of more than 8 bits keeps its depth for the range."""
        kind = frame.format.name
        deep = kind.startswith(DEEP_GREY)
        image = frame.to_ndarray(format=DEEP_GREYS_AS if deep else kind if kind.startswith("grayf32") else "bgr24")
        turns = round(frame.rotation / 90) % 4
        return self._levels.to_bgr(np.rot90(image, turns) if turns else image)


def _picture_stream(container: InputContainer, name: str) -> VideoStream:
    """The first video stream that is not a cover. Raises SourceError if there is none."""
    streams = [s for s in container.streams.video if "attached_pic" not in str(s.disposition)]
    if streams and getattr(streams[0], "codec_context", None) is None:  # the types of PyAV do not say so
        container.close()
        raise SourceError(f"{name}: the codec of this video is unknown to FFmpeg; convert the video to H.264")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise SourceError(f"{name}: no video in this file; it contains {kinds}")
    return streams[0]


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds that the header of the container claims for this stream; 0 if it claims nothing for this stream alone.

    Elsewhere FFmpeg estimates the duration from the file, so a difference would be no evidence.
    """
    if not set(container.format.name.split(",")) & WITH_DURATION:
        return 0.0
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1
    return container.duration / 1e6 if container.duration and alone else 0.0


def _words(error: Exception) -> str:
    """The error without the name of the file or URL, which can contain a password."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
