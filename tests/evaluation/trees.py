"""Data sets as folders of small files, written by the tests that read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from dcfnet.sinks import VideoSink

NAN = [np.nan] * 4


def touch(folder: Path, numbers: Iterable[int], name: str = "{:04d}.jpg") -> None:
    """Frames by their names alone: opening a sequence reads none of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).touch()


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def rows(count: int, first: int = 1) -> str:
    """Boxes that tell in x which row they are."""
    return "".join(f"{i},20,30,40\n" for i in range(first, first + count))


def render_video(file: Path, length: int) -> None:
    """Frame i is grey of 10 x i, so that a frame tells its number."""
    with VideoSink(file, 25, (64, 48)) as video:
        for i in range(length):
            video.write(np.full((48, 64, 3), 10 * i, np.uint8))


def shown(frame: np.ndarray) -> int:
    """The number that a frame of `render_video` tells, whatever the codec made of its grey."""
    return round(frame.mean() / 10)
