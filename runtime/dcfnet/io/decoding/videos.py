"""Opens videos, cameras and streams: the one place that chooses a decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from dcfnet.errors import SourceError
from dcfnet.io.addresses import is_url
from dcfnet.io.decoding.complete_file import is_truncated
from dcfnet.io.decoding.decoder import Decoder
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.opencv_decoder import OpenCvDecoder
from dcfnet.io.decoding.pyav_decoder import PyavDecoder, has_pyav
from dcfnet.io.decoding.timeline import Timeline
from dcfnet.io.source_frame import FrameSource, SourceFrame, SourceReport

DEFAULT_FPS = 25.0  # if the source has no rate
CUT_SHORT = 0.1  # of the duration that may be missing at the end; containers round it
TEXT = "ansi "  # FFmpeg's codec for text files: it draws their letters
CONVERT = "convert the video with: ffmpeg -i VIDEO NEW.mp4"


def open_video(place: str, name: str, levels: Levels, live: bool = False) -> FrameSource:
    """A video file or a stream, with PyAV if it is installed and with OpenCV otherwise.

    place: path or URL. name: the place without passwords. Raises SourceError, here or at the first frame.
    """
    open_with = PyavDecoder if has_pyav() else _with_opencv
    file = None if live or not Path(place).is_file() else Path(place)
    try:
        decoder: Decoder = open_with(place, name, live, levels)
    except SourceError as error:
        if file is None or not is_truncated(file):
            raise
        raise SourceError(f"{error}; the file is cut short: a recording or a copy of it was not finished") from error
    if decoder.stored.startswith(TEXT):
        raise SourceError(f"{name}: is a text file, not a video")
    report = SourceReport(stored=decoder.stored, decoder=decoder.library)
    fps = decoder.fps or DEFAULT_FPS
    frames = _frames(decoder, name, fps, report, file)
    return FrameSource(name, fps, decoder.count or None, frames, report, live)


def _with_opencv(place: str, name: str, live: bool, levels: Levels) -> OpenCvDecoder:
    # Other backends would read the start of a pipe again, after FFmpeg has consumed it.
    backend = cv2.CAP_ANY if Path(place).is_file() else cv2.CAP_FFMPEG
    try:
        return OpenCvDecoder(place, name, live and is_url(place), levels, backend)
    except SourceError as error:
        raise SourceError(
            f"{error}; check the name, and that it is a video; PyAV decodes more formats: pip install av"
        ) from error


def _frames(decoder: Decoder, name: str, fps: float, report: SourceReport, file: Path | None) -> Iterator[SourceFrame]:
    """The frames of a video. At the end, the report says what is missing."""
    timeline = Timeline(fps)
    count = broken = 0
    for frame in timeline.arrange(decoder.decode()):
        if frame.pixels is None and not count:
            continue  # there is no first frame yet
        report.stored = decoder.stored
        count += 1
        broken += bool(frame.problem)
        yield frame
    if not count:
        raise SourceError(f"{name}: no frame could be decoded ({decoder.stored}); {_remedy(decoder, file)}")
    if broken:
        report.problems.append(f"{broken} of {count} frames could not be decoded; the file is damaged there")
    if timeline.strays:
        report.problems.append(f"frames out of order were left out: {timeline.strays}")
    if extent := _cut_short(decoder, timeline.end + 1 / fps, fps, count, file):
        report.problems.append(f"ends after {count} frames, {extent}; the file may be truncated or damaged")


def _remedy(decoder: Decoder, file: Path | None) -> str:
    """What helps if no frame could be decoded. file: None for a pipe or a stream."""
    if decoder.library == "OpenCV":
        return f"install PyAV (pip install av), which decodes more formats, or {CONVERT}"
    if file is None:
        return "a pipe or a simple web server needs a format that can be read in order: TS, MKV, fragmented MP4"
    return f"the file may be damaged; try to {CONVERT}"


def _cut_short(decoder: Decoder, seconds: float, fps: float, count: int, file: Path | None) -> str:
    """How much of a video that was read to its end is there; "" if nothing shows that its end is missing.

    seconds, count: what was read. The claim of a container needs a second witness: times that end early, or its length.
    """
    if decoder.duration - seconds > max(CUT_SHORT * decoder.duration, 3 / fps):
        return f"{seconds:.2f} of {decoder.duration:.2f} s"
    if count < (1 - CUT_SHORT) * decoder.count and file is not None and is_truncated(file):
        return f"{count} of {decoder.count} frames"
    return ""
