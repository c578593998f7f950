"""Reads with a limit of size, and atomic writes: a file is written completely, or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from dcfnet.errors import SinkError

MAX_TEXT = 2**26  # bytes of a file with text or JSON; the largest of this project, a manifest of crops, has a few MB


def read_limited(file: Path, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a file. Raises OSError if it cannot be read or has more than `limit` bytes; those are not read."""
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size  # 0 for a pipe
        content = b"" if size > limit else opened.read(limit + 1)
    if max(size, len(content)) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes, the limit for files of this kind", str(file))
    return content


def read_json(file: Path) -> Any:
    """The value in a JSON file. Raises OSError as `read_limited`, and ValueError if the file is not JSON."""
    try:
        return json.loads(read_limited(file))
    except RecursionError as error:
        raise ValueError("its lists or objects are nested too deeply") from error


def make_folder_of(file: Path) -> None:
    """Creates the folder of a file, and those above it. Raises OSError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # "File exists" would name the wrong problem
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(file.parent)) from error


def write_atomically(content: bytes, file: Path) -> None:
    """Writes the file and creates its folder. If it is interrupted or the disk is full, the previous file stays.

    A symbolic link stays too: the file that it points to is written. A pipe or a device is written directly.
    Raises SinkError, an OSError, with the name of the file.
    """
    write_files_atomically({file: content})


def write_files_atomically(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together. All are on the disk before the first one is renamed, in the given order.

    If the disk is full, the previous files stay. Raises SinkError with the name of the file that cannot be written.
    """
    token = uuid4().hex  # another process may write the same files
    partials = {file: Path(f"{os.path.realpath(file)}.{token}.partial") for file in contents}
    for step in (_write_partial, _rename):
        for file, content in contents.items():
            try:
                step(file, partials[file], content)
            except OSError as error:
                for partial in partials.values():
                    with suppress(OSError):
                        partial.unlink()
                raise SinkError(f"{file}: cannot be written ({error.strerror})") from error


def _write_partial(file: Path, partial: Path, content: bytes) -> None:
    make_folder_of(partial)
    if file.is_dir():  # the rename would fail, after that of other files
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not _is_special(file):
        partial.write_bytes(content)


def _rename(file: Path, partial: Path, content: bytes) -> None:
    if _is_special(file):
        file.write_bytes(content)
    else:
        os.replace(partial, Path(os.path.realpath(file)))


def _is_special(file: Path) -> bool:
    """Whether it is a pipe or a device: a rename would put a file in its place."""
    return file.exists() and not file.is_file()
