"""Videos that the viewer sends: one file at a time, of limited size, in a temporary folder."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dcfnet.errors import SinkError
from dcfnet.io.bags.library import BAG_SUFFIXES
from dcfnet.io.decoding.images import IMAGE_SUFFIXES
from dcfnet.io.sources import VIDEO_SUFFIXES

MEGABYTE = 10**6
LONGEST_NAME = 80  # characters of a name in messages


class Upload(NamedTuple):
    """A file that was sent. name: in the messages; file: where it is."""

    name: str
    file: Path


class UploadTooLargeError(SinkError):
    """The file is larger than the limit."""


class Uploads:
    """Keeps the newest upload in a folder. The owner of the folder removes it."""

    def __init__(self, folder: Path, limit: int) -> None:
        """limit: bytes of one file."""
        self._folder, self.limit = folder, limit
        self.newest: Upload | None = None
        self._numbers = count(1)

    async def save(self, name: str, length: int | None, chunks: AsyncIterable[bytes]) -> Upload:
        """Writes the chunks to a file, which replaces the upload before it. length: bytes as announced, or None.

        Raises SinkError if the file is too large or empty, or if it cannot be written; then no file is left.
        """
        shown = shown_name(name)
        if length is not None and length > self.limit:
            raise self._too_large(shown)
        suffix = PurePosixPath(shown).suffix.lower()
        known = suffix if suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *BAG_SUFFIXES) else ""
        file = self._folder / f"upload{next(self._numbers)}{known}"  # the viewer does not choose a path
        complete = False
        try:
            await self._write(file, shown, chunks)
            complete = True
        except OSError as error:
            if isinstance(error, SinkError):
                raise
            raise SinkError(f"{shown}: cannot be stored ({error.strerror}); make room on the disk") from error
        finally:
            if not complete:
                _remove(file)
        self.remove()
        self.newest = Upload(shown, file)
        return self.newest

    def remove(self) -> None:
        """Removes the newest upload."""
        if self.newest:
            _remove(self.newest.file)
        self.newest = None

    async def _write(self, file: Path, name: str, chunks: AsyncIterable[bytes]) -> None:
        written = 0
        with file.open("xb") as output:
            async for chunk in chunks:
                written += len(chunk)
                if written > self.limit:
                    raise self._too_large(name)
                output.write(chunk)
        if not written:
            raise SinkError(f"{name}: the file is empty; choose a video")

    def _too_large(self, name: str) -> UploadTooLargeError:
        limit = self.limit / MEGABYTE
        return UploadTooLargeError(
            f"{name}: is larger than {limit:g} MB; choose a shorter video, give its path, or raise --upload-limit"
        )


def shown_name(name: str) -> str:
    """The last part of a file name, printable and of limited length; "upload" if nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[-LONGEST_NAME:].strip() or "upload"


def _remove(file: Path) -> None:
    with suppress(OSError):  # Windows does not remove a file that is open; the folder is removed at the end
        file.unlink()
