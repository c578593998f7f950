"""Frame sources: video files, folders and patterns of images, animations, cameras, pipes and streams."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2

from dcfnet.errors import SourceError
from dcfnet.io.addresses import is_pipeline, is_url, is_web_address, without_secrets
from dcfnet.io.bags.library import BAG_SUFFIXES, METADATA, is_bag
from dcfnet.io.bags.source import open_bag
from dcfnet.io.decoding.decoder import HIGHEST_FPS
from dcfnet.io.decoding.images import (
    ANIMATED_SUFFIXES,
    IMAGE_SUFFIXES,
    PAGED_SUFFIXES,
    decode_moving,
    read_content,
    read_image,
)
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.videos import DEFAULT_FPS, open_video
from dcfnet.io.image_series import LEAST_SERIES, ImageSeries, image_files, image_series, matching_files, one_series
from dcfnet.io.live.connection import connect_camera, connect_stream
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.live.source import live_source
from dcfnet.io.name_times import times_in_names
from dcfnet.io.source_frame import FrameSource, SourceFrame, SourceReport

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".ts", ".m2ts", ".wmv", ".flv")
CAMERA_FILES = re.compile(r"/dev/(video\d+|v4l/.+)")
STDIN = ("-", "/dev/stdin")
LISTED = 3  # unreadable files that are named one by one


def open_source(
    source: str | Path, levels: str = "first", live: LiveOptions | None = None, topic: str | None = None
) -> FrameSource:
    """Opens a source by its name.

    source: a video file; a folder of images; a pattern of images (frames/%04d.png, frames/*.png); an animation or a
    TIFF with pages; the number or path of a camera (0, /dev/video0); a pipe, or - for standard input; the URL of a
    stream; a pipeline of GStreamer; a bag of ROS. levels: the grey levels of images of more than 8 bits, see `Levels`.
    live: how a camera or a stream is read; close such a source at the end. topic: of a bag with several images.

    Raises MissingDependencyError for a bag without the extra `bags`. Raises SourceError, here or during iteration, with
    the name of the source and the problem.
    """
    text = str(source)
    mapping, live = Levels(levels), live or LiveOptions()
    path = Path(text)
    if not text.strip():
        raise SourceError("the name of the source is empty; give a video, a folder of images or a camera")
    _check_topic(path, topic)
    if text.isdecimal() and not os.path.lexists(text):
        return _open_camera(int(text), f"/dev/video{text}", mapping, live)
    if is_pipeline(text):
        return _open_pipeline(text, mapping, live)
    if is_url(text):
        return _open_url(text, mapping, live)
    if CAMERA_FILES.fullmatch(text):
        return _open_camera(text, text, mapping, live)
    if text in STDIN:
        return _open_stdin(mapping)
    try:
        return _open_path(path, mapping, topic)
    except SourceError:
        raise
    except OSError as error:  # no permission, or the name is too long
        raise SourceError(f"{without_secrets(text):.200}: cannot be read ({error.strerror})") from error


def is_stored(source: str) -> bool:
    """Whether the source is files, also missing ones: it can be opened twice. Not so a camera, a stream or a pipe."""
    camera = CAMERA_FILES.fullmatch(source) or (source.isdecimal() and not os.path.lexists(source))
    if camera or is_pipeline(source) or is_url(source) or source in STDIN:
        return False
    return os.path.isfile(source) or os.path.isdir(source) or not os.path.lexists(source)


def _check_topic(path: Path, topic: str | None) -> None:
    if topic is not None and not is_bag(path):
        name = without_secrets(str(path))
        raise SourceError(f"{name}: --topic is for bags only ({', '.join(BAG_SUFFIXES)}, or the folder of one)")


def _open_path(path: Path, levels: Levels, topic: str | None) -> FrameSource:
    if path.exists() and is_bag(path):
        return open_bag(path, topic, levels)
    if path.is_dir():
        return _open_images(str(path), _series_or_advice(path), levels)
    if not path.exists():
        return _open_pattern(str(path), levels)
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return open_video(str(path), str(path), levels, live=True)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _open_moving(path, levels)
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty")
    return open_video(str(path), str(path), levels)


def _open_url(url: str, levels: Levels, options: LiveOptions) -> FrameSource:
    """A stream, or a recording on a server. A recording is a video whose container gives the number of its frames."""
    name = without_secrets(url)
    if url.lower().startswith("file:"):
        return open_video(url, name, levels)
    connect = partial(connect_stream, url, name, levels, options)
    started = time.monotonic()
    try:
        first = connect()
    except SourceError as error:
        if is_web_address(url) and time.monotonic() - started < options.open_timeout:
            return open_video(url, name, levels, live=True)  # a video that only PyAV opens
        raise SourceError(
            f"{error} within {options.open_timeout:g} s; check the address, user and password, and that it is running"
        ) from error
    if first.decoder.count:
        return open_video(url, name, levels, live=True)
    return live_source(first, connect, name, options)


def _open_camera(place: int | str, file: str, levels: Levels, options: LiveOptions) -> FrameSource:
    """A camera. file: its device file on Linux."""
    name = f"camera {place}"
    if sys.platform.startswith("linux") and not Path(file).exists():
        found = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "there is no camera"
        raise SourceError(f"{name}: {file} does not exist ({found}); connect the camera, or give a video")
    connect = partial(connect_camera, place, name, levels)
    try:
        return live_source(connect(), connect, name, options)
    except SourceError as error:
        raise SourceError(
            f"{error}; check that it is a camera, that no other program uses it, and that you may read {file}"
        ) from error


def _open_pipeline(text: str, levels: Levels, options: LiveOptions) -> FrameSource:
    name = without_secrets(text)
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"{name}: a GStreamer pipeline, but this OpenCV is built without GStreamer; use such an OpenCV, give the "
            "address of the stream, or read the frames in your own program and call Tracker.update"
        )
    connect = partial(connect_camera, text, name, levels, cv2.CAP_GSTREAMER)
    try:
        return live_source(connect(), connect, name, options)
    except SourceError as error:
        raise SourceError(f"{error}; test it with gst-launch-1.0, and let it end with appsink") from error


def _open_stdin(levels: Levels) -> FrameSource:
    if sys.stdin is not None and sys.stdin.isatty():
        raise SourceError(
            "standard input is a terminal; pipe a video into it, for example: cat VIDEO.ts | dcfnet-run -"
        )
    place = "/dev/stdin" if Path("/dev/stdin").exists() else "pipe:0"
    return open_video(place, "standard input", levels, live=not Path(place).is_file())


def _open_pattern(text: str, levels: Levels) -> FrameSource:
    """A pattern of images; its name is not the name of a file."""
    if not re.search(r"%0?\d*d|[*?]", text):
        raise SourceError(f"{without_secrets(text)}: no such file or folder")
    files = matching_files(text)
    unknown = [file.name for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
    if unknown:
        raise SourceError(f"{text}: {unknown[0]} is not an image; the suffixes are {', '.join(IMAGE_SUFFIXES)}")
    return _open_images(text, one_series(files, Path(text).parent), levels)


def _series_or_advice(folder: Path) -> ImageSeries:
    """The images of a folder. Raises SourceError; if the folder contains videos or bags, the message names one."""
    if bags := sorted(p for p in folder.iterdir() if p.suffix.lower() in BAG_SUFFIXES):
        raise SourceError(f"{folder}: a folder with bags and without {METADATA}; give one of them, as {bags[0]}")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if videos and len(image_files(folder)) < LEAST_SERIES:  # a picture or two may belong to the videos
        raise SourceError(f"{folder}: a folder with {len(videos)} videos; give one of them, for example {videos[0]}")
    return image_series(folder)


def _open_images(name: str, series: ImageSeries, levels: Levels) -> FrameSource:
    report = SourceReport()
    if series.extras:
        names = ", ".join(file.name for file in series.extras)
        report.notes.append(f"left out {names}: not of the series {series.files[0].name} ... {series.files[-1].name}")
    times = times_in_names(series.files) or [index / DEFAULT_FPS for index in range(len(series.files))]
    steps = sorted(later - time for time, later in pairwise(times))
    fps = min(1 / steps[len(steps) // 2], HIGHEST_FPS) if steps else DEFAULT_FPS
    return FrameSource(name, fps, len(series.files), _read_images(series.files, times, levels, report), report)


def _read_images(
    files: Sequence[Path], times: Sequence[float], levels: Levels, report: SourceReport
) -> Iterator[SourceFrame]:
    """The images in order. An unreadable one is a frame without pixels; the first one must be readable."""
    broken: list[str] = []
    for file, time_of_frame in zip(files, times, strict=True):
        try:
            frame = SourceFrame(read_image(file, levels), time_of_frame)
        except SourceError as error:
            if file == files[0]:
                raise
            broken.append(str(error))
            frame = SourceFrame(None, time_of_frame, str(error))
        report.stored = levels.stored or report.stored
        yield frame
    if broken:
        more = f"; and {len(broken) - LISTED} more" * (len(broken) > LISTED)
        report.problems.append(f"{len(broken)} of {len(files)} images: {'; '.join(broken[:LISTED])}{more}")


def _open_moving(file: Path, levels: Levels) -> FrameSource:
    """An animation, or the pages of a TIFF. Raises SourceError if there is only one picture."""
    suffix = file.suffix.lower()
    content = read_content(file)
    pictures, shown = decode_moving(content, suffix) if suffix in ANIMATED_SUFFIXES + PAGED_SUFFIXES else ([], [])
    if len(pictures) < 2:
        raise SourceError(f"{file}: a single image; give the folder that contains it, a pattern, or a video")
    times = [sum(shown[:index]) for index in range(len(shown))]
    if not any(shown):
        times = [index / DEFAULT_FPS for index in range(len(pictures))]
    shortest = min((seconds for seconds in shown if seconds > 0), default=1 / DEFAULT_FPS)
    frames = (SourceFrame(levels.to_bgr(picture), t) for picture, t in zip(pictures, times, strict=True))
    return FrameSource(str(file), 1 / shortest, len(pictures), frames, SourceReport(stored=f"{suffix[1:]} animation"))
