"""Inputs that users have, rendered small: videos in many containers, damaged files, folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet_evaluation.rendered import Clip

RATE = 30
COUNT = 30  # frames of most inputs


def rendered(clip: Clip, count: int = COUNT) -> list[np.ndarray]:
    """The first frames of the clip, uint8 (240, 320, 3)."""
    return [clip.frame(t) for t in range(count)]


def start(clip: Clip, index: int = 0) -> str:
    """The option --init for a frame of the clip."""
    return ",".join(f"{value:.2f}" for value in clip.box(index))


def encode(
    file: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    layout: dict[str, str] | None = None,
) -> Path:
    """Writes a video with PyAV; the test is skipped without it.

    times: ms of each frame; default: a constant rate. options: of the codec. layout: options of the container.
    """
    av = pytest.importorskip("av", reason="PyAV writes the video of this test")
    base = Fraction(1, 1000 if times else RATE)
    with av.open(str(file), "w", options=layout or {}) as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = pixels, options or {}
        stream.codec_context.time_base = base
        stream.codec_context.gop_size = 10
        for index, pixels_of_frame in enumerate(frames):
            kind = "bgr24" if pixels_of_frame.ndim == 3 else "gray16le"
            frame = av.VideoFrame.from_ndarray(pixels_of_frame, format=kind).reformat(format=pixels)
            frame.pts, frame.time_base = times[index] if times else index, base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file


def interlaced(file: Path, frames: Sequence[np.ndarray]) -> Path:
    """An interlaced H.264 video."""
    return encode(file, frames, options={"x264-params": "interlaced=1:tff=1"})


def copied_from(source: Path, file: Path, first: int) -> Path:
    """The packets of a video from a number on, as `ffmpeg -ss ... -c copy` writes them."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as given, av.open(str(file), "w") as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.dts is not None]
        for packet in packets[first:]:
            packet.stream = copy
            output.mux(packet)
    return file


def damage(file: Path, low: float, high: float) -> Path:
    """Overwrites a part of the file, given as shares of its length, with noise."""
    content = bytearray(file.read_bytes())
    first, last = int(len(content) * low), int(len(content) * high)
    content[first:last] = np.random.default_rng(1).bytes(last - first)
    file.write_bytes(content)
    return file


def truncate(file: Path, share: float) -> Path:
    """Keeps the first part of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    return file


def write_images(folder: Path, frames: Sequence[np.ndarray], names: Sequence[str]) -> Path:
    """Writes each frame under its name; the suffix chooses the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in zip(frames, names, strict=True):
        done, content = cv2.imencode(Path(name).suffix, frame)
        assert done
        (folder / name).write_bytes(content.tobytes())
    return folder
