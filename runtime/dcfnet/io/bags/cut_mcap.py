"""MCAP files whose end is missing: the recording was not finished, or a copy of it. And the profile of an MCAP file.

An MCAP file is a list of records: one byte of type, eight bytes of length, content. Source: https://mcap.dev/spec.
rosbags needs the last records, so they are added to the complete ones.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
HEAD = 9  # bytes of type and length
DATA_END = b"\x0f" + (4).to_bytes(8, "little") + bytes(4)
FOOTER = b"\x02" + (20).to_bytes(8, "little") + bytes(20)  # without a summary
HEADER = b"\x01"  # type of the first record; its content starts with the profile: four bytes of length, text
LONGEST_PROFILE = 100  # bytes that are read


def profile_of(path: Path) -> str | None:
    """What recorded an MCAP file: "ros2" for a bag of ROS 2, "" if it says nothing; None if it is no MCAP file."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC) + HEAD + 4)
            text = file.read(min(int.from_bytes(start[-4:], "little"), LONGEST_PROFILE))
    except OSError:  # the reader of the bag tells it
        return None
    is_mcap = start[: len(MAGIC) + 1] == MAGIC + HEADER and len(start) == len(MAGIC) + HEAD + 4
    return text.decode("utf-8", "replace") if is_mcap else None


def completed(path: Path) -> CompletedMcap | None:
    """The file with its missing end; None if it has an end, or if it is no MCAP file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < len(MAGIC) or _at(file, 0, len(MAGIC)) != MAGIC or _at(file, size - len(MAGIC)) == MAGIC:
                return None
            return CompletedMcap(path, _end_of_records(file, size))
    except OSError:  # the reader of the bag tells it
        return None


def _at(file: BinaryIO, place: int, length: int = -1) -> bytes:
    file.seek(place)
    return file.read(length)


def _end_of_records(file: BinaryIO, size: int) -> int:
    """Where the last complete record of data ends."""
    place = len(MAGIC)
    while place + HEAD <= size:
        head = _at(file, place, HEAD)
        following = place + HEAD + int.from_bytes(head[1:], "little")
        if following > size or head[:1] in (DATA_END[:1], FOOTER[:1]):
            break
        place = following
    return place


class CompletedMcap:
    """Stands for the path of a file: `open` gives its first bytes, followed by the records at the end."""

    def __init__(self, path: Path, size: int) -> None:
        """size: number of bytes of the file that are complete records."""
        self._path, self._size = path, size
        self.suffix, self.name = path.suffix.lower(), path.name

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        """Whether the file exists."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """It is a file."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens it for reading."""
        return io.BufferedReader(_Joined(self._path, self._size, DATA_END + FOOTER + MAGIC))


class _Joined(io.RawIOBase):
    """The first bytes of a file, and more bytes after them."""

    def __init__(self, path: Path, size: int, tail: bytes) -> None:
        self._file, self._size, self._tail, self._place = path.open("rb"), size, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size + len(self._tail)}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._place < self._size:
            self._file.seek(self._place)
            content = self._file.read(min(len(buffer), self._size - self._place))
        else:
            content = self._tail[self._place - self._size :][: len(buffer)]
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()
