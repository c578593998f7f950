"""Writes datasets as folders of small files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from dcfnet.io.sinks.video import VideoSink

NAN = [np.nan] * 4


def touch(folder: Path, numbers: Iterable[int], name: str = "{:04d}.jpg") -> None:
    """Creates empty frame files; opening a sequence reads no frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).touch()


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def rows(count: int, first: int = 1) -> str:
    """Box rows whose x is the row number."""
    return "".join(f"{i},20,30,40\n" for i in range(first, first + count))


def render_video(file: Path, length: int) -> None:
    """Writes a video in which frame i has the grey level 10 * i."""
    with VideoSink(file, 25, (64, 48)) as video:
        for i in range(length):
            video.write(np.full((48, 64, 3), 10 * i, np.uint8))


def number_of(frame: np.ndarray) -> int:
    """The number of a frame of `render_video`; tolerates the errors of the codec."""
    return round(frame.mean() / 10)
