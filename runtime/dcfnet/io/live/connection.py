"""Opens cameras and streams with a short delay."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import cv2

from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.opencv_decoder import OpenCvDecoder
from dcfnet.io.live.options import LiveOptions


class Connection(NamedTuple):
    """An opened source.

    has_clock: False if its time stamps are only counted with an assumed rate. timeout: seconds that a read of the
    decoder waits for the next frame, if this is known. After it, FFmpeg may still return a frame that its decoder held.
    """

    decoder: OpenCvDecoder
    has_clock: bool
    timeout: float = math.inf


Connect = Callable[[], Connection]

# RTSP over TCP loses no packets. nobuffer and low_delay: FFmpeg must not collect frames before it returns the first.
FFMPEG_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_environment = Lock()


def connect_stream(url: str, name: str, levels: Levels, options: LiveOptions) -> Connection:
    """Opens a stream. name: the URL without passwords. Raises SourceError."""
    parameters = (
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(options.open_timeout * 1000)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(options.read_timeout * 1000)),
        *(cv2.CAP_PROP_N_THREADS, 1),  # each thread of a decoder delays the frames by one
    )
    with _low_delay():
        decoder = OpenCvDecoder(url, name, True, levels, cv2.CAP_FFMPEG, parameters)
    images = decoder.stored.startswith("MJPG") and not url.lower().startswith("rtsp")  # one JPEG after the other
    return Connection(decoder, not images, options.read_timeout)


def connect_camera(place: str | int, name: str, levels: Levels, backend: int = cv2.CAP_ANY) -> Connection:
    """Opens a camera, or a pipeline of GStreamer. Raises SourceError."""
    return Connection(OpenCvDecoder(place, name, True, levels, backend), True)


@contextmanager
def _low_delay() -> Iterator[None]:
    """Sets FFmpeg's options for one call: they are wrong for files. Options of the user are kept."""
    with _environment:
        if OPTIONS_VARIABLE in os.environ:
            yield
            return
        os.environ[OPTIONS_VARIABLE] = FFMPEG_OPTIONS
        try:
            yield
        finally:
            del os.environ[OPTIONS_VARIABLE]
